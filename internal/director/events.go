package director

import (
	"sync/atomic"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// remembered is how many events are kept for those who ask later.
const remembered = 1000

// A ring keeps the latest events. The loop adds, anybody reads: a slice once
// shown is not changed, only replaced by a longer or shifted one.
type ring struct {
	events atomic.Pointer[[]lvs.Event]
	next   atomic.Pointer[chan struct{}]
	fresh  bool // something was added that nobody was woken for; the loop's own
}

func (r *ring) add(e lvs.Event) {
	old := r.all()
	if len(old) >= remembered {
		// Copied once in a while only: half of it goes at a time.
		old = append([]lvs.Event(nil), old[remembered/2:]...)
	}
	now := append(old, e)
	r.events.Store(&now)
	r.fresh = true
}

// wake ends the waiting of whoever waits for the next event. The loop does it once the snapshot
// that goes with them is shown.
func (r *ring) wake() {
	if !r.fresh {
		return
	}
	r.fresh = false
	if c := r.next.Swap(nil); c != nil {
		close(*c)
	}
}

func (r *ring) all() []lvs.Event {
	if p := r.events.Load(); p != nil {
		return *p
	}
	return nil
}

// Events lists what has happened after since, oldest first. At least the
// last 500 are remembered, at most 1,000.
func (d *Director) Events(since time.Time) []lvs.Event {
	all := d.events.all()
	for len(all) > 0 && !all[0].At.After(since) {
		all = all[1:]
	}
	return all[:len(all):len(all)]
}

// NextEvent is closed when the next event happens. Ask for it before Events, and
// no event is missed between the two.
func (d *Director) NextEvent() <-chan struct{} {
	c := make(chan struct{})
	for {
		if p := d.events.next.Load(); p != nil {
			return *p
		}
		if d.events.next.CompareAndSwap(nil, &c) {
			return c
		}
	}
}
