package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// Bounds of one who asks for metrics.
const (
	metricsTime   = 10 * time.Second
	metricsHeader = 16 << 10 // bytes
)

// metrics serves what [Node.Status] counts to Prometheus, over HTTP, at /metrics.
type metrics struct {
	node   *Node
	ln     net.Listener
	server *http.Server
	all    *prometheus.Registry
}

// openMetrics listens where the configuration says, if it does. Whoever reaches the address can read.
func (n *Node) openMetrics() error {
	if n.cfg.Metrics == "" {
		return nil
	}
	ln, err := net.Listen("tcp", n.cfg.Metrics)
	if err != nil {
		return fmt.Errorf("node: cannot serve metrics on %s: %w: choose another address with --metrics", n.cfg.Metrics, err)
	}
	m := &metrics{node: n, ln: ln, all: prometheus.NewRegistry()}
	m.all.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", m.serve)
	m.server = &http.Server{Handler: mux, ReadTimeout: metricsTime, WriteTimeout: metricsTime, IdleTimeout: metricsTime, MaxHeaderBytes: metricsHeader}
	n.metrics = m
	n.log.Info("node: serving metrics to whoever asks", "at", "http://"+ln.Addr().String()+"/metrics")
	n.spawn(func() {
		if err := m.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("node: metrics are not served any more", "err", err)
		}
	})
	return nil
}

// close ends the server when nobody looks at the node any more. It may be called where there is none.
func (m *metrics) close() {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), metricsTime)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		m.server.Close()
	}
}

func (m *metrics) serve(w http.ResponseWriter, _ *http.Request) {
	families, err := m.all.Gather()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	w.Header().Set("Content-Type", string(format))
	e := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if e.Encode(f) != nil {
			return // who asked is gone
		}
	}
}

// Describe says nothing: what there is to collect is named when it is.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect gives the numbers of one look at the node.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	s := m.node.fullStatus(context.Background())
	for _, v := range measured(&s) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("kadre_"+v.name, v.help, nil, v.labels), v.kind, v.value)
	}
}

// measure is one number. Labels tell it from others of its name, where there are several.
type measure struct {
	name, help string
	kind       prometheus.ValueType
	value      float64
	labels     prometheus.Labels
}

// measured has what metrics tell of a status.
func measured(s *Status) (l []measure) {
	gauge := func(name, help string, v float64) {
		l = append(l, measure{name: name, help: help, kind: prometheus.GaugeValue, value: v})
	}
	count := func(name, help string, v uint64) {
		l = append(l, measure{name: name + "_total", help: help, kind: prometheus.CounterValue, value: float64(v)})
	}
	each := func(name, help, label string, kind prometheus.ValueType, values map[string]float64) {
		for which, v := range values {
			l = append(l, measure{name, help, kind, v, prometheus.Labels{label: which}})
		}
	}
	abandoned := int64(0)
	queued := map[string]float64{"resources": float64(s.Queued.Resources), "own_process": float64(s.Queued.OwnProcess), "worker": float64(s.Queued.Worker)}
	for _, ps := range [][]ProcessStatus{s.Drivers, s.Workers} {
		for _, p := range ps {
			abandoned += p.Abandoned
			queued["process"] += float64(p.Queued)
		}
	}
	alive := 0
	for _, m := range s.Members {
		if m.State == "alive" {
			alive++
		}
	}
	draining := 0.0
	if s.Draining {
		draining = 1
	}
	gauge("draining", "1 while the node takes no new work.", draining)
	gauge("members_alive", "Living nodes that the node knows, itself among them.", float64(alive))
	gauge("members_gone", "Nodes that died or left and are not forgotten yet.", float64(len(s.Gone)))
	gauge("peers_troubled", "Nodes that are not reached, see kadre status.", float64(len(s.Troubles)))
	gauge("cpus", "CPUs that tasks may use.", s.CPUs.Total)
	gauge("cpus_free", "CPUs that no task uses.", s.CPUs.Free)
	each("resource", "Amounts that the node has for tasks.", "name", prometheus.GaugeValue, s.Resources)
	each("resource_available", "What is free of them.", "name", prometheus.GaugeValue, s.Available)
	gauge("jobs", "Jobs that the node knows.", float64(len(s.Jobs)))
	gauge("drivers", "Drivers that are attached.", float64(len(s.Drivers)))
	gauge("workers", "Worker processes.", float64(len(s.Workers)))
	each("tasks_queued", "Tasks that wait, by what they wait for; process: in the queue of the process that they are for.", "for", prometheus.GaugeValue, queued)
	gauge("tasks_abandoned", "Tasks that run on after their end, in living processes.", float64(abandoned))

	gauge("store_bytes", "Size of the object store.", float64(s.Store.Size))
	gauge("store_used_bytes", "Bytes of blocks that objects take.", float64(s.Store.Bytes))
	gauge("store_committed_bytes", "Bytes of memory taken from the system.", float64(s.Store.Pages))
	gauge("store_objects", "Objects in memory.", float64(s.Store.Objects))
	gauge("store_holders", "Holds of processes on objects.", float64(s.Store.Holders))
	gauge("spill_objects", "Objects in files.", float64(s.Store.Spilled))
	gauge("spill_disk_bytes", "Bytes of these files.", float64(s.Store.SpillDisk))
	count("store_spilled", "Objects written to files.", s.Transfers.Spilled)
	count("store_restored", "Objects read back from files.", s.Transfers.Restored)
	count("store_evicted", "Copies dropped for want of room.", s.Transfers.Evicted)
	count("store_lost", "Objects whose files could not be read.", s.Transfers.Lost)

	count("pulls", "Objects fetched from other nodes.", s.Transfers.Pulled)
	count("pulls_failed", "Objects that could not be fetched.", s.Transfers.Failed)
	gauge("pulls_now", "Objects that are being fetched.", float64(s.Transfers.Pulling))
	each("object_bytes_total", "Bytes of objects that came from, or went to, other nodes.", "way", prometheus.CounterValue,
		map[string]float64{"in": float64(s.Transfers.BytesIn), "out": float64(s.Transfers.BytesOut)})
	each("network_bytes_total", "Bytes that came from, or went to, other nodes.", "way", prometheus.CounterValue,
		map[string]float64{"in": float64(s.Bytes.In), "out": float64(s.Bytes.Out)})
	count("frames_dropped", "Control frames dropped.", s.Bytes.Dropped)
	each("stolen_tasks_total", "Tasks that went between nodes.", "way", prometheus.CounterValue,
		map[string]float64{"in": float64(s.Steals.TasksIn), "out": float64(s.Steals.TasksOut)})
	gauge("directory_records", "Records that the node keeps for the cluster.", float64(s.Directory.Held))
	count("directory_requests", "Requests that the node sent to the directory.", s.Directory.Requests)
	count("directory_misses", "Lookups that found nothing.", s.Directory.Misses)
	return l
}
