// Package director is weir's loop, the only room that changes anything: it is
// told things, plans, applies the difference to the data plane and shows what
// it did. All its state belongs to the goroutine in Run; outsiders put one
// small change into the inbox and look at finished snapshots.
//
// It never reads a file, asks a real server or forwards a packet, and before
// the first configuration has arrived it touches nothing: a restart must not
// tear down what is still serving.
package director

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// A Monitor checks real servers. It is told the whole list each time and
// answers with Judge, at once or later, from any goroutine.
type Monitor interface {
	Set(targets []lvs.Target)
}

// A Watcher finds out how addresses are reached. It is told the whole set
// each time.
type Watcher interface {
	Want(addrs []netip.Addr)
}

// Options are what a Director works with.
type Options struct {
	Plane    dataplane.Dataplane
	Describe func() lvs.Plane // nil: unknown
	Monitor  Monitor
	// Watcher is told which addresses packets will have to reach; what it
	// finds comes back through Reach. Nil: there is nobody to wait for.
	Watcher Watcher
	// Remembered is what an earlier weir wrote into the journal about the
	// table that is standing. Nil: nothing.
	Remembered *plan.Memory
	Journal    Journal // nil: nobody remembers
	Log        *slog.Logger
}

// A Journal remembers what a killed weir would forget: who asked for what.
type Journal interface {
	// Begin forgets everything and takes these notes instead.
	Begin(notes []plan.Note) error
	// Add takes more notes. Long says that it is time to begin anew.
	Add(notes []plan.Note) (long bool, err error)
}

// A Director turns what it is told into what the data plane holds.
type Director struct {
	o      Options
	log    *slog.Logger
	inbox  chan []change
	shown  atomic.Pointer[lvs.Snapshot]
	events ring
}

// A change is one thing the director is told.
type change func(*mind)

// New is a director that has been told nothing.
func New(o Options) *Director {
	d := &Director{o: o, log: o.Log, inbox: make(chan []change, 1)}
	d.shown.Store(&lvs.Snapshot{})
	return d
}

// tell puts c into the inbox without ever waiting for the loop: the one who
// tells may be the one the loop is waiting for. The channel holds the whole
// queue, so it is either full, and can be taken and put back longer, or empty.
func (d *Director) tell(c change) {
	queue := []change{c}
	for {
		select {
		case d.inbox <- queue:
			return
		case earlier := <-d.inbox:
			queue = append(earlier, queue...)
		}
	}
}

// Configure replaces the configuration. From names where it came from. The
// channel gets nil once it is applied whole, or the first problem met on the
// way, after which the director goes on trying by itself.
func (d *Director) Configure(cfg config.Config, from string) <-chan error {
	done := make(chan error, 1)
	d.tell(func(m *mind) { m.configure(cfg, from, done) })
	return done
}

// Judge takes a change of mind about a real server.
func (d *Director) Judge(v lvs.Verdict) { d.tell(func(m *mind) { m.judge(v) }) }

// Reach takes a new view of the network.
func (d *Director) Reach(n lvs.Network) { d.tell(func(m *mind) { m.reach(n) }) }

// Change makes changes by hand, one after the other. Each takes effect or is
// refused by itself; the answer has an error or nil for each. What took effect
// is in the data plane and in the snapshot by then. An error of Change itself
// means that nothing was done, since the whole table has no tag of table; or
// that nobody waits any more, not that nothing was done.
func (d *Director) Change(ctx context.Context, table lvs.Match, changes []lvs.Change) ([]error, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	b := &batch{table: table, changes: changes, errs: make([]error, len(changes)), open: len(changes), done: make(chan []error, 1)}
	d.tell(func(m *mind) { m.asked(b) })
	select {
	case errs := <-b.done:
		if b.stale {
			return nil, tableChanged()
		}
		return errs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Preview is what a configuration would change, as ipvsadm lines. Nothing is.
func (d *Director) Preview(ctx context.Context, cfg config.Config) ([]string, error) {
	done := make(chan []string, 1)
	d.tell(func(m *mind) { done <- m.preview(cfg) })
	select {
	case lines := <-done:
		return lines, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Alive is closed as soon as the loop comes round.
func (d *Director) Alive() <-chan struct{} {
	c := make(chan struct{})
	d.tell(func(*mind) { close(c) })
	return c
}

// Snapshot is the latest finished picture. It is not to be changed.
func (d *Director) Snapshot() *lvs.Snapshot { return d.shown.Load() }

// Run is the loop. It returns nil when ctx ends and leaves the data plane as
// it stands.
func (d *Director) Run(ctx context.Context) error {
	m := newMind(d)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			m.answer(ctx.Err())
			m.reply()
			return nil
		case changes := <-d.inbox:
			for _, c := range changes {
				c(m)
			}
		case <-timer.C:
		}
		if m.in.Configured {
			m.arrive(ctx)
		}
		d.shown.Store(m.snapshot())
		d.events.wake()
		m.reply()
		timer.Reset(m.next(time.Now()))
	}
}
