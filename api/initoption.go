package api

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/kadrehq/kadre/internal/embed"
)

// Embedded starts a node in this process, whatever else lives on the machine. It may run many times in one
// process.
func Embedded() InitOption {
	return nodeOption(func(e *embed.Options) error { e.Embedded = true; return nil })
}

// Join gives addresses of nodes of the cluster to join: multiaddrs, or host:port.
func Join(addrs ...string) InitOption {
	return nodeOption(func(e *embed.Options) error {
		for _, a := range addrs {
			if a == "" {
				return errors.New("kadre: Join: an address is empty")
			}
		}
		e.Join = append(e.Join, addrs...)
		return nil
	})
}

// Cluster chooses the cluster to attach to or to be a node of. The default is "default".
func Cluster(name string) InitOption {
	return text("Cluster", name, func(e *embed.Options) { e.Cluster = name })
}

// TokenFile names the file with the cluster's token.
func TokenFile(path string) InitOption {
	return text("TokenFile", path, func(e *embed.Options) { e.TokenFile = path })
}

func text(option, value string, set func(*embed.Options)) InitOption {
	return nodeOption(func(e *embed.Options) error {
		if value == "" {
			return fmt.Errorf("kadre: %s(\"\") is empty", option)
		}
		set(e)
		return nil
	})
}

// Labels describe the node.
func Labels(labels map[string]string) InitOption {
	labels = maps.Clone(labels)
	return nodeOption(func(e *embed.Options) error {
		for k := range labels {
			if k == "" {
				return errors.New("kadre: Labels: a name is empty")
			}
		}
		e.Labels = labels
		return nil
	})
}

// ObjectStoreMemory is the size of the node's object store.
func ObjectStoreMemory(bytes int64) InitOption {
	return nodeOption(func(e *embed.Options) error {
		if bytes <= 0 {
			return fmt.Errorf("kadre: ObjectStoreMemory(%d) must be above 0", bytes)
		}
		e.ObjectStoreMemory = bytes
		return nil
	})
}

// Logger gets what the runtime has to say in this process. The default is slog.Default().
func Logger(l *slog.Logger) InitOption {
	return nodeOption(func(e *embed.Options) error { e.Logger = l; return nil })
}

// LogToDriver says whether what workers write comes to this process's standard error. The default is true.
func LogToDriver(on bool) InitOption {
	return nodeOption(func(e *embed.Options) error { e.LogToDriver = &on; return nil })
}

// WorkerEnv names variables of this process's environment that worker processes get.
func WorkerEnv(names ...string) InitOption {
	return nodeOption(func(e *embed.Options) error {
		for _, n := range names {
			if n == "" {
				return errors.New("kadre: WorkerEnv: a name is empty")
			}
		}
		e.WorkerEnv = append(e.WorkerEnv, names...)
		return nil
	})
}
