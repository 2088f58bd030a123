package embed

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/kadrehq/kadre/internal/node"
)

// config is the configuration of an embedded node: options first, then the variables of `kadre start`.
func config(o Options) (node.Config, error) {
	c := node.Config{
		Cluster: o.Cluster, Join: o.Join, TokenFile: o.TokenFile, CPUs: o.NumCPUs, Resources: o.Resources,
		Labels: o.Labels, ObjectStoreMemory: o.ObjectStoreMemory, Logger: o.Logger,
		Listen: list("KADRE_LISTEN"), StateDir: os.Getenv("KADRE_STATE_DIR"),
		SpillDir: os.Getenv("KADRE_SPILL_DIR"), Metrics: os.Getenv("KADRE_METRICS"),
	}
	if c.Logger == nil {
		c.Logger = slog.New(warnings{slog.Default().Handler()})
	}
	if c.Cluster == "" {
		c.Cluster = os.Getenv("KADRE_CLUSTER")
	}
	if c.TokenFile == "" {
		c.TokenFile = os.Getenv("KADRE_TOKEN_FILE")
	}
	if len(c.Join) == 0 {
		c.Join = list("KADRE_JOIN")
	}
	c.DenyFile = os.Getenv("KADRE_DENY_FILE")
	if v := os.Getenv("KADRE_NO_MDNS"); v != "" {
		no, err := strconv.ParseBool(v)
		if err != nil {
			return c, fmt.Errorf("kadre: KADRE_NO_MDNS=%q: want true or false", v)
		}
		c.NoMDNS = no
	}
	c.Private = c.Cluster == "" && c.TokenFile == "" && len(c.Join) == 0
	if c.Private {
		c.Listen, c.DenyFile = nil, ""
	}
	var err error
	if v := os.Getenv("KADRE_CPUS"); c.CPUs == 0 && v != "" {
		if c.CPUs, err = strconv.ParseFloat(v, 64); err != nil {
			return c, fmt.Errorf("kadre: KADRE_CPUS=%q: want a number", v)
		}
	}
	if v := os.Getenv("KADRE_RESOURCES"); c.Resources == nil && v != "" {
		c.Resources = map[string]float64{}
		for k, s := range pairs(v) {
			if c.Resources[k], err = strconv.ParseFloat(s, 64); err != nil {
				return c, fmt.Errorf("kadre: KADRE_RESOURCES=%q: want name=number, separated by commas", v)
			}
		}
	}
	if v := os.Getenv("KADRE_LABELS"); c.Labels == nil && v != "" {
		c.Labels = pairs(v)
	}
	if v := os.Getenv("KADRE_OBJECT_STORE_MEMORY"); c.ObjectStoreMemory == 0 && v != "" {
		if c.ObjectStoreMemory, err = size(v); err != nil {
			return c, err
		}
	}
	return c, nil
}

// list splits a variable at its commas.
func list(name string) []string {
	var l []string
	for _, s := range strings.Split(os.Getenv(name), ",") {
		if s = strings.TrimSpace(s); s != "" {
			l = append(l, s)
		}
	}
	return l
}

// pairs splits "a=1,b=2".
func pairs(v string) map[string]string {
	m := map[string]string{}
	for _, s := range strings.Split(v, ",") {
		k, x, _ := strings.Cut(s, "=")
		m[strings.TrimSpace(k)] = strings.TrimSpace(x)
	}
	return m
}

// size reads "8GiB", "512MiB", "1e9".
func size(v string) (int64, error) {
	number, unit := v, 1.0
	for i, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if s, ok := strings.CutSuffix(v, u); ok {
			number, unit = s, math.Pow(1024, float64(i+1))
		}
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(f >= 0) || f*unit > 1<<60 {
		return 0, fmt.Errorf("kadre: KADRE_OBJECT_STORE_MEMORY=%q: want a size such as 8GiB", v)
	}
	return int64(f * unit), nil
}

// warnings lets warnings and errors through: a library does not chat on its program's log.
type warnings struct{ slog.Handler }

func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}
func (h warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{h.Handler.WithAttrs(a)} }
func (h warnings) WithGroup(name string) slog.Handler   { return warnings{h.Handler.WithGroup(name)} }
