package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/testnet"
)

// What silent-death holds the cluster to.
const (
	deathNodes  = 40
	verdictP50  = 4 * time.Second
	verdictP99  = 8 * time.Second
	writeP99    = time.Second
	lookupP99   = 50 * time.Millisecond
	calmAfter   = 5 * time.Second        // after the verdicts writes and misses are back to what they were
	calmFor     = 4 * time.Second        // in which that is measured
	putEvery    = 100 * time.Millisecond // on each node
	lookups     = 100                    // of each node
	lookupEvery = 200 * time.Millisecond
	briefFor    = 500 * time.Millisecond // in place of the long times, in tests
)

func silentDeath(ctx context.Context, o Options) (err error) {
	d, err := form(ctx, "silent-death", o, deathNodes)
	if err != nil {
		return err
	}
	defer func() { err = d.end(err) }()
	if err := d.deaths(ctx, "idle"); err != nil || d.brief {
		return err
	}
	if err := d.revive(ctx); err != nil {
		return err
	}
	if err := d.busy(ctx); err != nil {
		return err
	}
	if err := d.revive(ctx); err != nil {
		return err
	}
	return d.halfNamed(ctx)
}

// deaths silences the share and watches what the others make of it.
func (d *drill) deaths(ctx context.Context, how string) error {
	dead, living := d.draw(max(1, len(d.net.Nodes)*d.Share/100))
	d.say("%s: %d of %d nodes die", how, len(dead), len(d.net.Nodes))
	begin := time.Now()
	silent, err := d.net.Silence(dead...)
	if err != nil {
		return err
	}
	d.say("%s: all are silent after %.2f s", how, time.Since(begin).Seconds())
	when, err := d.gone(ctx, living, dead, goneWithin)
	if err != nil {
		return err
	}
	var took []time.Duration
	var last time.Time
	for _, l := range when {
		for i, ns := range l {
			if ns == 0 {
				return fmt.Errorf("%s: a node took %s for living %v after its death", how, dead[i].Name, goneWithin)
			}
			if t := time.Unix(0, ns); t.After(last) {
				last = t
			}
			took = append(took, time.Unix(0, ns).Sub(silent[i]))
		}
	}
	d.hold(how+": verdicts, p50", at(took, 0.5), verdictP50)
	d.hold(how+": verdicts, p99", at(took, 0.99), verdictP99)
	return d.calm(ctx, how, living, last)
}

// gone asks who when they lost sight of others.
func (d *drill) gone(ctx context.Context, who, others []*testnet.Node, within time.Duration) ([][]int64, error) {
	when := make([][]int64, len(who))
	return when, testnet.Each(who, func(i int, n *testnet.Node) error {
		return n.Ask(ctx, testnet.Order{Do: "gone", Nodes: idsOf(others), For: int64(within)}, &when[i])
	})
}

// lostSight counts who lost sight of whom.
func lostSight(when [][]int64) (n int) {
	for _, l := range when {
		for _, ns := range l {
			if ns != 0 {
				n++
			}
		}
	}
	return n
}

// calm writes and misses, and holds both to their times from calmAfter after the verdicts on.
func (d *drill) calm(ctx context.Context, how string, living []*testnet.Node, verdicts time.Time) error {
	before, measured := calmAfter-time.Since(verdicts), calmFor
	if d.brief {
		before, measured = briefFor, briefFor
	}
	d.say("%s: %d nodes write and miss", how, len(living))
	for _, round := range []struct {
		name string
		span time.Duration
		hold bool
	}{{"at once", before / 2, false}, {"later", measured, true}} {
		for _, do := range []string{"put", "miss"} {
			o := testnet.Order{Do: do, N: 1 << 20, Every: int64(putEvery), For: int64(max(round.span, 1)), Seed: d.r.Uint64()}
			all, err := asks(ctx, living, o)
			if err != nil {
				return err
			}
			what := map[string]string{"put": "writes", "miss": "misses"}[do]
			if round.hold {
				d.hold(fmt.Sprintf("%s: %d %s, p99", how, len(all), what), quantile(all, 0.99), writeP99)
			} else {
				d.say("%s: %d %s right after the verdicts: p50 %v, p99 %v", how, len(all), what, quantile(all, 0.5).Round(time.Microsecond), quantile(all, 0.99).Round(time.Microsecond))
			}
		}
	}
	return nil
}

// revive lets everybody speak again and waits until all see all.
func (d *drill) revive(ctx context.Context) error {
	begin := time.Now()
	if err := d.net.Heal(); err != nil {
		return err
	}
	if err := d.net.AwaitView(ctx, formWithin); err != nil {
		return err
	}
	d.say("all see all %.1f s after they speak again", time.Since(begin).Seconds())
	return nil
}

// busy keeps every CPU busy: nobody may be taken for dead, and who dies must be found out all the same.
func (d *drill) busy(ctx context.Context) error {
	d.say("busy: every CPU spins for %v", d.Busy)
	stop, err := testnet.Spin(d.Busy + 2*goneWithin)
	if err != nil {
		return err
	}
	defer stop()
	when, err := d.gone(ctx, d.net.Nodes, d.net.Nodes, d.Busy)
	if err != nil {
		return err
	}
	wrong := lostSight(when)
	d.check(fmt.Sprintf("busy: living nodes taken for dead in %v", d.Busy), wrong == 0, fmt.Sprint(wrong))
	return d.deaths(ctx, "busy")
}

// halfNamed lets half of the living lose the others, while the rest still has them for living and names them in
// Kademlia's answers.
func (d *drill) halfNamed(ctx context.Context) error {
	dead, living := d.draw(max(1, len(d.net.Nodes)*d.Share/100))
	lost, naming := living[:len(living)/2], living[len(living)/2:]
	d.say("half: %d nodes lose %d others, whom %d still see", len(lost), len(dead), len(naming))
	if err := d.net.Part(lost, dead); err != nil {
		return err
	}
	when, err := d.gone(ctx, lost, dead, goneWithin)
	if err != nil {
		return err
	}
	for _, l := range when {
		for i, ns := range l {
			if ns == 0 {
				return fmt.Errorf("half: a node still sees %s, which it cannot reach, after %v", dead[i].Name, goneWithin)
			}
		}
	}
	if when, err = d.gone(ctx, naming, dead, time.Millisecond); err != nil {
		return err
	}
	unseen := lostSight(when)
	d.check("half: the rest still names them", unseen == 0, fmt.Sprintf("%d of %d views have lost one", unseen, len(naming)*len(dead)))
	all, err := asks(ctx, lost, testnet.Order{Do: "miss", N: lookups, Every: int64(lookupEvery), Seed: d.r.Uint64()})
	if err != nil {
		return err
	}
	d.say("half: %d lookups: p50 %v", len(all), quantile(all, 0.5).Round(time.Microsecond))
	d.hold(fmt.Sprintf("half: %d lookups, p99", len(all)), quantile(all, 0.99), lookupP99)
	return nil
}
