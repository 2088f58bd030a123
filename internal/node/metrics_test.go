package node

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are what Prometheus reads, say what status says, and end with the node.
func TestMetrics(t *testing.T) {
	c := private(testDir(t))
	c.Metrics = "127.0.0.1:0"
	c.Resources = map[string]float64{"gpu": 2}
	n := startNode(t, c)
	url := "http://" + n.metrics.ln.Addr().String()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		t.Helper()
		r, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	code, text := get("/metrics")
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if code != http.StatusOK || err != nil {
		t.Fatalf("%d, %v:\n%s", code, err, text)
	}
	value := func(name string) float64 {
		f := families["kadre_"+name]
		if f == nil || len(f.Metric) != 1 {
			t.Fatalf("%s is not there once:\n%s", name, text)
		}
		return f.Metric[0].GetGauge().GetValue()
	}
	s := n.Status()
	for name, want := range map[string]float64{"cpus": s.CPUs.Total, "cpus_free": s.CPUs.Free, "members_alive": 1, "store_bytes": float64(s.Store.Size), "draining": 0} {
		if got := value(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if !strings.Contains(text, `kadre_resource_available{name="gpu"} 2`) || !strings.Contains(text, "# TYPE kadre_pulls_total counter") {
		t.Errorf("metrics:\n%s", text)
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("/ gives %d", code)
	}
	if _, err := Start(context.Background(), func() Config { c := private(testDir(t)); c.Metrics = n.metrics.ln.Addr().String(); return c }()); err == nil || !strings.Contains(err.Error(), "--metrics") {
		t.Errorf("a second node there gives %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Get(url + "/metrics"); err == nil {
		t.Error("metrics are served after Close")
	}
}
