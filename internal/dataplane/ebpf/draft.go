package ebpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A draft is a service on its way into the maps: what is taken and written for
// it, to be given back if it does not get there.
type draft struct {
	old     *entry // what stands; of a new service nothing but its number
	now     *entry
	fresh   bool // there is no old one
	touched []touched
	orphans []*dest // of an earlier service of that key
}

// A touched is a destination that was written, and how it was before.
type touched struct {
	key     destKey
	dest    *dest
	written engineDest
	gone    time.Time
	fresh   bool // it was not there
	counted bool // the table and the filter know the new one
}

// begin gives a draft its number.
func (p *Plane) begin(e *entry, s lvs.Service) (*draft, error) {
	d := &draft{old: e, fresh: e == nil, orphans: p.table.orphans[s.Key]}
	if d.fresh {
		id, err := p.takeService()
		if err != nil {
			return nil, fmt.Errorf("no room for another service: %w", err)
		}
		d.old = &entry{id: id, set: 2*id + 1}
	}
	d.now = &entry{id: d.old.id, left: d.old.left, svc: s}
	return d, nil
}

// prepare writes everything where no packet looks yet, destinations aside.
func (p *Plane) prepare(d *draft) error {
	slots, err := p.writeDestinations(d)
	if err != nil {
		return err
	}
	s := d.now.svc
	if d.now.slots, err = p.writeSlots(append(slots, p.hashTable(s, slots, d.now.dests)...)); err != nil {
		return err
	}
	d.now.set = p.nextSet(d.old, s)
	if err := p.writeSet(d.now.set, d.now.slots, d.old, s); err != nil {
		return err
	}
	return p.join(s, d.now.slots, d.now.dests)
}

// show flips packets to the draft.
func (p *Plane) show(d *draft) error {
	s := d.now.svc
	if err := p.write("services", d.now.id, serviceEntry(s, d.now.set)); err != nil || !d.fresh {
		return err
	}
	if err := p.startCounting(s.Key); err != nil {
		return err
	}
	return p.write("service_ids", serviceKey(s.Key), d.now.id)
}

// discard takes back what was done for a draft, the newest first. Of a service
// that stood packets have seen nothing but its destinations' new values.
func (p *Plane) discard(d *draft) error {
	if k := d.now.svc.Key; d.fresh && len(d.orphans) > 0 {
		p.table.orphans[k] = d.orphans
	}
	errs := []error{p.join(d.old.svc, d.old.slots, d.old.dests)}
	p.table.slots.give(d.now.slots)
	if set := d.now.set; set != 0 && set/2 != d.now.id {
		p.table.lent.give(set / 2)
	}
	for i := len(d.touched) - 1; i >= 0; i-- {
		errs = append(errs, p.untouch(d.touched[i]))
	}
	if d.fresh {
		p.table.serviceIDs.give(d.now.id)
	}
	return errors.Join(errs...)
}

// untouch makes a destination what it was.
func (p *Plane) untouch(t touched) error {
	d, rules := t.dest, p.tuning.Rules
	if t.counted {
		p.sieve.destination(t.key, rules, d.wide(), -1)
	}
	if t.fresh {
		p.table.dests.remove(t.key) // while its entry still says where it is
	}
	thresholds := d.written.Upper != t.written.Upper || d.written.Lower != t.written.Lower
	d.written, d.gone = t.written, t.gone
	err := p.write("dests", d.id, &t.written)
	if t.fresh {
		err = errors.Join(err, p.assign(d, 0), p.write("overloads", d.id, engineOverload{}))
		p.table.destIDs.give(d.id)
		return err
	}
	if t.counted {
		p.sieve.destination(t.key, rules, d.wide(), 1)
	}
	if !t.gone.IsZero() {
		p.table.gone.dig(t.key, d)
	}
	if thresholds {
		err = errors.Join(err, p.reconsider(d.id, t.written))
	}
	return err
}
