package testnet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
)

// orderEnv has a node take orders.
const orderEnv = "KADRE_TESTNET"

// Order is what a node is asked to do; see the functions of the table for what each needs and answers.
type Order struct {
	Do    string
	Owner id.Addr   `json:",omitzero"`  // locate: whose objects
	Node  id.Node   `json:",omitzero"`  // ping: which
	Nodes []id.Node `json:",omitempty"` // gone: which
	First int       `json:",omitempty"`
	N     int       `json:",omitempty"`
	Span  int       `json:",omitempty"` // locate, count: of how many objects from First on
	Batch int       `json:",omitempty"` // publish: how many at a time
	Every int64     `json:",omitempty"` // nanoseconds between batches, or between two of put, miss and lookup
	At    int64     `json:",omitempty"` // Unix nanoseconds: when publish begins
	Seed  uint64    `json:",omitempty"` // of the random choices
	For   int64     `json:",omitempty"` // nanoseconds: how long it may take
}

// orders is the table of what a node can be asked to do.
var orders = map[string]func(context.Context, *node.Node, Order) (any, error){
	"status":  func(_ context.Context, n *node.Node, _ Order) (any, error) { return n.Status(), nil },
	"events":  func(_ context.Context, n *node.Node, _ Order) (any, error) { return n.Events(), nil },
	"publish": publish,
	"locate":  locate,
	"count":   tally,
	"free":    free,
	"pull":    pull,
	"gone":    gone,
	"put":     put,
	"miss":    miss,
	"ping":    ping,
}

// Asked says whether this process is a node of a Net.
func Asked() bool { return os.Getenv(orderEnv) != "" }

// Serve takes the orders of a Net until there are no more or ctx ends, and answers them in turn.
func Serve(ctx context.Context, n *node.Node, in io.Reader, out io.Writer) error {
	answers := json.NewEncoder(out)
	lines := bufio.NewScanner(in)
	for lines.Scan() && ctx.Err() == nil {
		var o Order
		var a struct {
			Err    string `json:",omitempty"`
			Answer any    `json:",omitempty"`
		}
		err := json.Unmarshal(lines.Bytes(), &o)
		if do := orders[o.Do]; err == nil && do != nil {
			a.Answer, err = do(ctx, n, o)
		} else if err == nil {
			err = fmt.Errorf("testnet: no order %q", o.Do)
		}
		if err != nil {
			a.Err = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("testnet: answering: %w", err)
		}
	}
	return lines.Err()
}
