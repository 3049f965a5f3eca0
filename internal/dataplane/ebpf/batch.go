package ebpf

import (
	"errors"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// Batch implements dataplane.Batcher: filters and settings, which depend on
// all services, are worked out once at the end.
func (p *Plane) Batch(change func()) error {
	p.mu.Lock()
	p.batching = true
	p.mu.Unlock()
	change()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batching = false
	return p.settle()
}

// settle brings what depends on all services in line with the table.
func (p *Plane) settle() error {
	if p.batching {
		return nil
	}
	err := errors.Join(p.tellKinds(), p.tellReals(), p.refilter())
	p.unsettled = err != nil
	return err
}

// A resting number is one whose sets packets may be in for a moment still.
type resting struct {
	id uint32
	at time.Time
}

// A restroom gives out numbers again that have rested.
type restroom struct {
	*numbers
	resting []resting
}

// rest takes a number back that was in use until now.
func (r *restroom) rest(id uint32) { r.resting = append(r.resting, resting{id, time.Now()}) }

// rested gives out a number that has rested, or one that was never used.
func (p *Plane) rested(r *restroom) (uint32, error) {
	for len(r.resting) > 0 && p.unread(r.resting[0].at) {
		r.give(r.resting[0].id)
		r.resting = r.resting[1:]
	}
	return r.take()
}

// takeService gives a service its number: one that has rested, a new one, or,
// if there is none, one that rests, after waiting until no packet can be in its
// sets.
func (p *Plane) takeService() (uint32, error) {
	r := &p.table.serviceIDs
	id, err := p.rested(r)
	if err == nil || len(r.resting) == 0 {
		return id, err
	}
	p.wait()
	return p.rested(r)
}

// nextSet is a set no packet can be reading: one of the service's own two, if
// it was left long enough ago. A service that changes more often is lent one
// instead of waiting for the packets; not where the engine takes a set's number
// for its service's, which it does for its caches of destinations.
func (p *Plane) nextSet(e *entry, s lvs.Service) uint32 {
	for i, left := range e.left {
		if own := 2*e.id + uint32(i); own != e.set && p.unread(left) {
			return own
		}
	}
	if s.Scheduler != lvs.LBLC && s.Scheduler != lvs.LBLCR {
		if id, err := p.rested(&p.table.lent); err == nil {
			return 2 * id
		}
	}
	p.wait()
	if e.set == 2*e.id {
		return 2*e.id + 1
	}
	return 2 * e.id
}

// leave notes that e no longer uses a set; one that was lent goes back.
func (p *Plane) leave(e *entry, set uint32) {
	if set/2 == e.id {
		e.left[set%2] = time.Now()
		return
	}
	p.table.lent.rest(set / 2)
}
