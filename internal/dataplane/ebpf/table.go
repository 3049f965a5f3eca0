package ebpf

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/sched"
)

// A destKey tells destinations apart. A connection refers to a destination by
// its number; the same key gets the same number back as long as one does.
type destKey struct {
	service lvs.ServiceKey
	addr    netip.AddrPort
}

// An entry is a service as it stands in the maps.
type entry struct {
	id      uint32
	set     uint32 // of its two, id*2 and id*2+1, the one in use
	slots   span
	flipped time.Time
	svc     lvs.Service
}

// A dest is a destination's number and its entry as last written.
type dest struct {
	id      uint32
	written engineDest
	gone    time.Time // when it was removed; zero: it stands in its service
}

// A table is Go's side of the maps: what stands where. Only Plane's methods
// touch it, under its lock.
type table struct {
	services map[lvs.ServiceKey]*entry
	dests    map[destKey]*dest
	// orphans are the destinations of services that were dropped.
	orphans map[lvs.ServiceKey][]*dest
	retired []retired
	resting []resting

	serviceIDs *numbers
	destIDs    *numbers
	slots      *spans
}

// retired is a run of slots some packet may still be reading.
type retired struct {
	slots span
	at    time.Time
}

// graceless is how young a replaced set must be for a packet to be still in it:
// a program runs for microseconds, even on a machine that is starved.
const graceless = time.Second

// Put implements dataplane.Dataplane.
func (p *Plane) Put(_ context.Context, s lvs.Service) error {
	if err := supported(s); err != nil {
		return fmt.Errorf("put %s: %w", s.Key, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e, known := p.table.services[s.Key]
	if known && e.svc.Equal(s) {
		return nil
	}
	if err := p.put(e, s.Clone()); err != nil {
		return fmt.Errorf("put %s: %w", s.Key, err)
	}
	return p.settle()
}

func supported(s lvs.Service) error {
	if s.Key.Mark == 0 && s.Key.Protocol != lvs.TCP && s.Key.Protocol != lvs.UDP && s.Key.Protocol != lvs.SCTP {
		return fmt.Errorf("protocol %s: %w", s.Key.Protocol, dataplane.ErrUnsupported)
	}
	if schedulers[s.Scheduler] == 0 {
		return fmt.Errorf("scheduler %s: %w", s.Scheduler, dataplane.ErrUnsupported)
	}
	for _, d := range s.Destinations {
		if why := d.Encap.Fault(); d.Forward == lvs.Tunnel && why != "" {
			return fmt.Errorf("destination %s: %s", d.Addr, why)
		}
		// Only a tunnel carries one family in the other.
		if d.Forward != lvs.Tunnel && lvs.FamilyOf(d.Addr.Addr()) != s.Key.AF() {
			return fmt.Errorf("destination %s is of the other address family: %w", d.Addr, dataplane.ErrUnsupported)
		}
	}
	return nil
}

// put writes destinations, then a fresh set, then flips the service to it.
// Destinations that are gone are marked last: until then packets may choose them.
func (p *Plane) put(e *entry, s lvs.Service) error {
	fresh := e == nil
	if fresh {
		id, err := p.takeService()
		if err != nil {
			return fmt.Errorf("no room for another service: %w", err)
		}
		e = &entry{id: id, set: 2*id + 1}
	}
	slots, err := p.writeDestinations(e.id, s)
	if err != nil {
		return err
	}
	run, err := p.writeSlots(append(slots, p.hashTable(s, slots)...))
	if err != nil {
		return err
	}
	next := e.set ^ 1
	if time.Since(e.flipped) < graceless {
		p.wait()
	}
	if err := p.writeSet(next, run, e, s); err != nil {
		return err
	}
	if err := p.write("services", e.id, serviceEntry(s, next)); err != nil {
		return err
	}
	if fresh {
		if err := p.startCounting(s.Key); err != nil {
			return err
		}
		if err := p.write("service_ids", serviceKey(s.Key), e.id); err != nil {
			return err
		}
	}
	gone := e.svc
	p.retire(e.slots)
	e.set, e.slots, e.svc, e.flipped = next, run, s, time.Now()
	p.table.services[s.Key] = e
	return p.markGone(gone, s)
}

// startCounting makes a new service count from zero, as in IPVS, though
// connections of one that was dropped may still be draining.
func (p *Plane) startCounting(k lvs.ServiceKey) error {
	delete(p.base, k)
	for _, d := range p.table.orphans[k] {
		if err := p.zeroStats(d.id); err != nil {
			return err
		}
	}
	delete(p.table.orphans, k)
	return nil
}

// writeDestinations gives every destination its number and writes its entry.
func (p *Plane) writeDestinations(service uint32, s lvs.Service) ([]engineSlot, error) {
	slots := make([]engineSlot, 0, len(s.Destinations))
	for _, d := range s.Destinations {
		id, err := p.writeDestination(service, s.Key, d, isWide(s))
		if err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Addr, err)
		}
		slot := engineSlot{Dest: id, Weight: uint16(min(d.Weight, math.MaxUint16))}
		if d.Upper != 0 {
			slot.Limited = 1
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

func (p *Plane) writeDestination(service uint32, k lvs.ServiceKey, d lvs.Destination, wide bool) (uint32, error) {
	key := destKey{k, d.Addr}
	have := p.table.dests[key]
	if have == nil {
		id, err := p.table.destIDs.take()
		if err != nil {
			return 0, fmt.Errorf("no room for another destination: %w", err)
		}
		have = &dest{id: id}
	}
	hop, err := p.nexthopFor(d.Addr.Addr())
	if err != nil {
		return 0, err
	}
	want := destination(k, d, service, hop, p.paths[d.Addr.Addr()])
	// A destination that ever was in the wide table is looked for there.
	want.Flags |= have.written.Flags & destWide
	if wide {
		want.Flags |= destWide
	}
	want.LastWeight = have.written.LastWeight
	if d.Weight != 0 {
		want.LastWeight = uint16(min(d.Weight, math.MaxUint16))
	}
	if want != have.written {
		if err := p.write("dests", have.id, want); err != nil {
			return 0, err
		}
	}
	if want.Upper != have.written.Upper || want.Lower != have.written.Lower {
		if err := p.reconsider(have.id, want); err != nil {
			return 0, err
		}
	}
	have.written, have.gone = want, time.Time{}
	p.table.dests[key] = have
	return have.id, nil
}

// reconsider sets the overload mark of a destination whose thresholds changed:
// on if it is full, off if it has room, else left as it was (__ip_vs_update_dest).
func (p *Plane) reconsider(id uint32, d engineDest) error {
	live, err := p.live(id)
	if err != nil {
		return err
	}
	total := uint32(live.Conns>>32) + uint32(live.Conns)
	lower := d.Lower
	if lower == 0 {
		lower = d.Upper - d.Upper/4
	}
	switch {
	case d.Upper != 0 && total >= d.Upper:
		return p.write("overloads", id, engineOverload{On: 1})
	case d.Upper == 0 || total < lower:
		return p.write("overloads", id, engineOverload{})
	}
	return nil
}

func (p *Plane) writeSlots(slots []engineSlot) (span, error) {
	first, err := p.takeSlots(uint32(len(slots)))
	if err != nil {
		return span{}, fmt.Errorf("no room for %d more destinations: %w", len(slots), err)
	}
	for i, s := range slots {
		if err := p.write("slots", first+uint32(i), s); err != nil {
			return span{}, err
		}
	}
	return span{first, uint32(len(slots))}, nil
}

// hashTable is the table of a scheduler that hashes, which stands behind the
// list of destinations.
func (p *Plane) hashTable(s lvs.Service, list []engineSlot) []engineSlot {
	last := make([]uint32, len(list))
	for i, d := range s.Destinations {
		last[i] = uint32(p.table.dests[destKey{s.Key, d.Addr}].written.LastWeight)
	}
	places := sched.Table(s.Scheduler, s.Destinations, last)
	table := make([]engineSlot, len(places))
	for i, n := range places {
		table[i] = list[n]
	}
	return table
}

// takeSlots takes from what is free; if that does not do, from what was
// replaced, after waiting until no packet can be reading it.
func (p *Plane) takeSlots(count uint32) (uint32, error) {
	t := &p.table
	for len(t.retired) > 0 && time.Since(t.retired[0].at) > graceless {
		t.slots.give(t.retired[0].slots)
		t.retired = t.retired[1:]
	}
	first, err := t.slots.take(count)
	if err == nil || len(t.retired) == 0 {
		return first, err
	}
	p.wait()
	for _, r := range t.retired {
		t.slots.give(r.slots)
	}
	t.retired = nil
	return t.slots.take(count)
}

func (p *Plane) retire(r span) {
	if r.count > 0 {
		p.table.retired = append(p.table.retired, retired{r, time.Now()})
	}
}

func (p *Plane) writeSet(id uint32, run span, e *entry, s lvs.Service) error {
	round := sched.Begin(s.Scheduler, s.Destinations)
	if e.svc.Scheduler == s.Scheduler {
		now, err := p.round(e)
		if err != nil {
			return err
		}
		round = sched.After(s.Scheduler, now, e.svc.Destinations, s.Destinations)
	}
	count := uint32(len(s.Destinations))
	return p.write("sets", id, engineSet{
		First: run.first, Count: count, Table: run.first + count, Size: run.count - count,
		Flags: uint32(s.SchedFlags), Scheduler: schedulers[s.Scheduler],
		Di: sched.Divisor(s.Destinations), Mw: sched.Top(s.Destinations),
		Cursor: uint64(uint32(round.Pos)) | uint64(round.Weight)<<32,
	})
}

// round reads where the service's scheduler stands now.
func (p *Plane) round(e *entry) (sched.Round, error) {
	var set engineSet
	if err := p.engine.maps["sets"].Lookup(e.set, &set); err != nil {
		return sched.Round{}, fmt.Errorf("read set %d: %w", e.set, err)
	}
	return sched.Round{Pos: int(int32(set.Cursor)), Weight: uint32(set.Cursor >> 32)}, nil
}

// markGone says of the destinations in old that are not in new that their
// connections' packets are to be dropped.
func (p *Plane) markGone(old, new lvs.Service) error {
	for _, d := range old.Destinations {
		if _, stays := new.Destination(d.Addr); stays {
			continue
		}
		have := p.table.dests[destKey{old.Key, d.Addr}]
		have.written.Flags &^= destAvailable
		have.gone = time.Now()
		if err := p.write("dests", have.id, have.written); err != nil {
			return err
		}
	}
	return nil
}

// Drop implements dataplane.Dataplane.
func (p *Plane) Drop(_ context.Context, k lvs.ServiceKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table.services[k]
	if e == nil {
		return nil
	}
	if err := p.erase("service_ids", serviceKey(k)); err != nil {
		return fmt.Errorf("drop %s: %w", k, err)
	}
	if err := p.write("services", e.id, engineService{}); err != nil {
		return fmt.Errorf("drop %s: %w", k, err)
	}
	delete(p.table.services, k)
	p.retire(e.slots)
	p.table.resting = append(p.table.resting, resting{e.id, time.Now()})
	if err := p.markGone(e.svc, lvs.Service{}); err != nil {
		return fmt.Errorf("drop %s: %w", k, err)
	}
	for _, d := range e.svc.Destinations {
		p.table.orphans[k] = append(p.table.orphans[k], p.table.dests[destKey{k, d.Addr}])
	}
	return p.settle()
}

// Installed implements dataplane.Dataplane.
func (p *Plane) Installed(context.Context) iter.Seq2[lvs.Service, error] {
	p.mu.Lock()
	keys := slices.SortedFunc(maps.Keys(p.table.services), lvs.ServiceKey.Compare)
	all := make([]lvs.Service, 0, len(keys))
	for _, k := range keys {
		all = append(all, p.table.services[k].svc.Clone())
	}
	p.mu.Unlock()
	return func(yield func(lvs.Service, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// forget frees the numbers of removed destinations that no connection and no
// template refers to any more. IPVS keeps them at least a minute, so that a server put back
// soon is the same server.
func (p *Plane) forget() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	freed := false
	for key, d := range p.table.dests {
		if d.gone.IsZero() || time.Since(d.gone) < time.Minute {
			continue
		}
		live, err := p.live(d.id)
		if err != nil {
			return err
		}
		if live.Conns != 0 || live.Templates != 0 {
			continue
		}
		if err := p.bury(key, d); err != nil {
			return err
		}
		freed = true
	}
	if freed {
		return p.refilter()
	}
	return nil
}

// bury empties a destination's entries and frees its number.
func (p *Plane) bury(key destKey, d *dest) error {
	if err := p.write("dests", d.id, engineDest{}); err != nil {
		return err
	}
	if err := p.clearStats(key.service, d.id); err != nil {
		return err
	}
	delete(p.table.dests, key)
	p.table.orphans[key.service] = slices.DeleteFunc(p.table.orphans[key.service], func(o *dest) bool { return o == d })
	if len(p.table.orphans[key.service]) == 0 {
		delete(p.table.orphans, key.service)
	}
	p.table.destIDs.give(d.id)
	return nil
}
