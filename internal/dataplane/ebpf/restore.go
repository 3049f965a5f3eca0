package ebpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// restore reads the table of a running engine back: services, destinations in
// their order, those that are draining, next hops, interfaces.
func (p *Plane) restore() error {
	dests, err := p.readDests()
	if err != nil {
		return err
	}
	var (
		key      engineServiceKey
		id       uint32
		services = make(map[uint32]bool)
		lent     = make(map[uint32]bool)
		runs     []span
	)
	it := p.engine.maps["service_ids"].Iterate()
	for it.Next(&key, &id) {
		e, err := p.readService(lvsKey(key), id, dests)
		if err != nil {
			return err
		}
		services[id] = true
		if e.set/2 != id {
			lent[e.set/2] = true
		}
		runs = append(runs, e.slots)
		p.table.services = p.table.services.With(e.svc.Key, e)
		p.kinds.count(e.svc, 1)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read services: %w", err)
	}
	p.table.serviceIDs.keep(services)
	p.table.lent.keep(lent)
	p.table.slots.keep(runs)
	if err := p.restoreReals(); err != nil {
		return err
	}
	return p.restoreRest(dests)
}

func (p *Plane) restoreRest(dests map[uint32]engineDest) error {
	used := make(map[uint32]bool)
	hops := make(map[uint32]bool)
	for id, d := range dests {
		used[id] = true
		hops[d.Nexthop] = true
		entry := &dest{id: id, written: d}
		if d.Flags&destAvailable == 0 {
			entry.gone = time.Now() // at the latest
			p.table.gone.dig(d.key(), entry)
		}
		p.table.dests.put(d.key(), entry)
		if _, serves := p.table.services.Get(d.key().service); !serves {
			p.table.orphans[d.key().service] = append(p.table.orphans[d.key().service], entry)
		}
		p.hops.byAddr[d.key().addr.Addr()] = d.Nexthop
	}
	if err := p.restoreGroups(); err != nil {
		return err
	}
	p.enlist()
	if err := p.disown(); err != nil {
		return err
	}
	p.recount()
	p.table.destIDs.keep(used)
	p.hops.ids.keep(hops)
	for id := range hops {
		var n engineNexthop
		if err := p.engine.maps["nexthops"].Lookup(id, &n); err != nil {
			return fmt.Errorf("read next hop %d: %w", id, err)
		}
		n.LearnedMtu, n.LearnedUntil = 0, 0 // Go writes none
		p.hops.written[id] = n
	}
	if err := p.engine.maps[filtersMap].Lookup(uint32(0), &p.bits); err != nil {
		return fmt.Errorf("read the filter: %w", err)
	}
	return nil
}

func (p *Plane) restoreGroups() error {
	groups := make(map[uint32]uint32)
	err := scan(p.engine.maps["memberships"], func(id uint32, m *engineMembership) bool {
		if m.Group != 0 {
			groups[id] = m.Group
		}
		return true
	})
	for _, d := range p.table.dests.all() {
		d.group = groups[d.id]
	}
	return err
}

// enlist gives the services their destinations.
func (p *Plane) enlist() {
	for k, e := range p.table.services.All() {
		for _, d := range e.svc.Destinations {
			e.dests = append(e.dests, p.table.dests.get(destKey{k, d.Addr}))
		}
	}
}

// disown counts among the removed what stands in no service: a weir that was
// killed while it put a service in may have left it.
func (p *Plane) disown() error {
	listed := make(map[*dest]bool, p.table.dests.len())
	for e := range p.table.services.Values() {
		for _, d := range e.dests {
			listed[d] = true
		}
	}
	var errs []error
	for k, d := range p.table.dests.all() {
		if !listed[d] && d.gone.IsZero() {
			errs = append(errs, p.dismiss(k, d))
		}
	}
	return errors.Join(errs...)
}

func (p *Plane) restoreReals() error {
	var key engineServiceKey
	var id uint32
	p.reals = make(map[engineServiceKey]uint32)
	it := p.engine.maps["reals"].Iterate()
	for it.Next(&key, &id) {
		p.reals[key] = id
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read the real servers: %w", err)
	}
	return nil
}

// readDests reads every destination there is, draining ones included.
func (p *Plane) readDests() (map[uint32]engineDest, error) {
	dests := make(map[uint32]engineDest)
	err := scan(p.engine.maps["dests"], func(id uint32, d *engineDest) bool {
		if d.Service != 0 {
			dests[id] = *d
		}
		return true
	})
	return dests, err
}

func (p *Plane) readService(k lvs.ServiceKey, id uint32, dests map[uint32]engineDest) (*entry, error) {
	var v engineService
	if err := p.engine.maps["services"].Lookup(id, &v); err != nil {
		return nil, fmt.Errorf("read service %s: %w", k, err)
	}
	var set engineSet
	if err := p.engine.maps["sets"].Lookup(v.Set, &set); err != nil {
		return nil, fmt.Errorf("read the set of %s: %w", k, err)
	}
	s := lvs.Service{
		Key: k, Scheduler: lvsScheduler(set.Scheduler), SchedFlags: v.SchedFlags, OnePacket: v.Flags&serviceOnePacket != 0,
		Persistence: persistence(k, v),
	}
	for i := range set.Count {
		var slot engineSlot
		if err := p.engine.maps["slots"].Lookup(set.First+i, &slot); err != nil {
			return nil, fmt.Errorf("read a destination of %s: %w", k, err)
		}
		s.Destinations = append(s.Destinations, lvsDestination(dests[slot.Dest], uint32(slot.Weight)))
	}
	return &entry{id: id, set: v.Set, slots: span{set.First, set.Count + set.Size}, svc: s}, nil
}
