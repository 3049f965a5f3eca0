package ebpf

import (
	"errors"
	"time"
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
	return errors.Join(p.retune(), p.refilter())
}

// A resting number belonged to a service that was dropped. Packets may be in
// its sets for a moment still.
type resting struct {
	id uint32
	at time.Time
}

// takeService gives a service its number: one that has rested, a new one, or,
// if there is none, one that rests, after waiting until no packet can be in its
// sets.
func (p *Plane) takeService() (uint32, error) {
	t := &p.table
	for len(t.resting) > 0 && time.Since(t.resting[0].at) > graceless {
		t.serviceIDs.give(t.resting[0].id)
		t.resting = t.resting[1:]
	}
	id, err := t.serviceIDs.take()
	if err == nil || len(t.resting) == 0 {
		return id, err
	}
	p.wait()
	for _, r := range t.resting {
		t.serviceIDs.give(r.id)
	}
	t.resting = nil
	return t.serviceIDs.take()
}
