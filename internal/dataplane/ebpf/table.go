package ebpf

import (
	"context"
	"errors"
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
	id    uint32
	set   uint32 // the one in use: of its two, id*2 and id*2+1, or one that is lent
	slots span
	left  [2]time.Time // when each of its two was last taken out of use
	svc   lvs.Service
	dests []*dest // those of svc, in the same order
}

// A dest is a destination's number and its entry as last written.
type dest struct {
	id      uint32
	written engineDest
	group   uint32    // among its neighbours in a long list; 0: none
	gone    time.Time // when it was removed; zero: it stands in its service
}

// A table is Go's side of the maps: what stands where. Only Plane's methods
// touch it, under its lock. The entries of services are replaced, never
// changed, so that who counts may go through them without it.
type table struct {
	services lvs.Table[*entry]
	dests    dests
	gone     graves // of these, those that were removed
	// orphans are the destinations of services that were dropped.
	orphans map[lvs.ServiceKey][]*dest
	retired []retired

	serviceIDs restroom
	lent       restroom // numbers of no service, for sets that are lent
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
	e, known := p.table.services.Get(s.Key)
	if known && e.svc.Equal(s) {
		return nil
	}
	err := p.put(e, s.Clone())
	if err != nil {
		err = fmt.Errorf("put %s: %w", s.Key, err)
	}
	return errors.Join(err, p.settle())
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

// put writes destinations, then a fresh set, then flips the service to it; what
// fails until then leaves all as it was. Destinations that are gone are marked
// last: until then packets may choose them.
func (p *Plane) put(e *entry, s lvs.Service) error {
	d, err := p.begin(e, s)
	if err != nil {
		return err
	}
	if err = p.prepare(d); err == nil {
		err = p.show(d)
	}
	if err != nil {
		return errors.Join(err, p.discard(d))
	}
	p.retire(d.old.slots)
	p.leave(d.now, d.old.set)
	p.table.services = p.table.services.With(s.Key, d.now)
	p.counted(s, 1)
	if !d.fresh {
		p.counted(d.old.svc, -1)
	}
	return p.markGone(d.old, s)
}

// counted brings what is known of all services together in line with one that
// came or went.
func (p *Plane) counted(s lvs.Service, n int) {
	p.sieve.service(s.Key, p.tuning.Rules, isWide(s), n)
	p.kinds.count(s, n)
}

// startCounting makes a new service count from zero, as in IPVS, though
// connections of one that was dropped may still be draining.
func (p *Plane) startCounting(k lvs.ServiceKey) error {
	p.zeroings++
	p.base = p.base.Without(k)
	for _, d := range p.table.orphans[k] {
		if err := p.zeroStats(d.id); err != nil {
			return err
		}
	}
	delete(p.table.orphans, k)
	return nil
}

// writeDestinations gives every destination its number and writes its entry.
func (p *Plane) writeDestinations(draft *draft) ([]engineSlot, error) {
	s := draft.now.svc
	slots, dests := make([]engineSlot, 0, len(s.Destinations)), make([]*dest, 0, len(s.Destinations))
	draft.touched = make([]touched, 0, len(s.Destinations))
	for _, d := range s.Destinations {
		have, err := p.writeDestination(draft, d)
		if err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Addr, err)
		}
		dests = append(dests, have)
		slot := engineSlot{Dest: have.id, Weight: uint16(min(d.Weight, math.MaxUint16))}
		if d.Upper != 0 {
			slot.Limited = 1
		}
		slots = append(slots, slot)
	}
	draft.now.dests = dests
	return slots, nil
}

func (p *Plane) writeDestination(draft *draft, d lvs.Destination) (*dest, error) {
	k := draft.now.svc.Key
	key := destKey{k, d.Addr}
	have := p.table.dests.get(key)
	fresh := have == nil
	if fresh {
		id, err := p.table.destIDs.take()
		if err != nil {
			return nil, fmt.Errorf("no room for another destination: %w", err)
		}
		have = &dest{id: id}
	}
	draft.touched = append(draft.touched, touched{key: key, dest: have, written: have.written, gone: have.gone, fresh: fresh})
	hop, err := p.nexthopFor(d.Addr.Addr())
	if err != nil {
		return nil, err
	}
	want := destination(k, d, draft.now.id, hop, p.paths[d.Addr.Addr()])
	// A destination that ever was in the wide table is looked for there.
	want.Flags |= have.written.Flags & destWide
	if isWide(draft.now.svc) {
		want.Flags |= destWide
	}
	// What mh remembers ends where the destination does.
	want.LastWeight = have.written.LastWeight
	if d.Weight != 0 || !have.gone.IsZero() {
		want.LastWeight = uint16(min(d.Weight, math.MaxUint16))
	}
	if want != have.written {
		if err := p.write("dests", have.id, &want); err != nil {
			return nil, err
		}
	}
	if want.Upper != have.written.Upper || want.Lower != have.written.Lower {
		if err := p.reconsider(have.id, want); err != nil {
			return nil, err
		}
	}
	if !fresh && want.Flags&destWide != have.written.Flags&destWide {
		p.sieve.destination(key, p.tuning.Rules, have.wide(), -1)
		fresh = true
	}
	have.written, have.gone = want, time.Time{}
	if fresh {
		p.sieve.destination(key, p.tuning.Rules, have.wide(), 1)
	}
	p.table.dests.put(key, have)
	p.table.gone.open(key)
	draft.touched[len(draft.touched)-1].counted = true
	return have, nil
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
	run := span{first, uint32(len(slots))}
	return run, fill(p, "slots", first, slots)
}

// hashTable is the table of a scheduler that hashes, which stands behind the
// list of destinations.
func (p *Plane) hashTable(s lvs.Service, list []engineSlot, dests []*dest) []engineSlot {
	last := make([]uint32, len(list))
	for i, d := range dests {
		last[i] = uint32(d.written.LastWeight)
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
	for len(t.retired) > 0 && p.unread(t.retired[0].at) {
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
	now := sched.Start(s.Scheduler, e.svc.Destinations)
	if e.svc.Scheduler == s.Scheduler {
		var err error
		if now, err = p.round(e); err != nil {
			return err
		}
	}
	round := sched.After(s.Scheduler, now, e.svc.Destinations, s.Destinations)
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

// markGone says of the destinations of old that are not in new that their
// connections' packets are to be dropped. All are noted, also if one cannot be
// written: its number is freed in time.
func (p *Plane) markGone(old *entry, new lvs.Service) error {
	var errs []error
	stays := make(map[netip.AddrPort]bool, len(new.Destinations))
	for _, d := range new.Destinations {
		stays[d.Addr] = true
	}
	for i, have := range old.dests {
		key := destKey{old.svc.Key, old.svc.Destinations[i].Addr}
		if stays[key.addr] {
			continue
		}
		errs = append(errs, p.dismiss(key, have))
	}
	return errors.Join(errs...)
}

// dismiss notes that a destination was removed.
func (p *Plane) dismiss(key destKey, d *dest) error {
	d.written.Flags &^= destAvailable
	d.gone = time.Now()
	p.table.gone.dig(key, d)
	return p.write("dests", d.id, &d.written)
}

// Drop implements dataplane.Dataplane.
func (p *Plane) Drop(_ context.Context, k lvs.ServiceKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, known := p.table.services.Get(k)
	if !known {
		return nil
	}
	if err := p.erase("service_ids", serviceKey(k)); err != nil {
		return fmt.Errorf("drop %s: %w", k, err)
	}
	// From here on it is gone for packets, whatever else cannot be written.
	err := p.write("services", e.id, engineService{})
	p.table.services = p.table.services.Without(k)
	p.counted(e.svc, -1)
	p.retire(e.slots)
	p.table.serviceIDs.rest(e.id)
	if e.set/2 != e.id {
		p.table.lent.rest(e.set / 2)
	}
	p.table.orphans[k] = slices.AppendSeq(append(p.table.orphans[k], e.dests...), maps.Values(p.table.gone[k]))
	if err = errors.Join(err, p.markGone(e, lvs.Service{})); err != nil {
		err = fmt.Errorf("drop %s: %w", k, err)
	}
	return errors.Join(err, p.settle())
}

// Installed implements dataplane.Dataplane.
func (p *Plane) Installed(context.Context) iter.Seq2[lvs.Service, error] {
	p.mu.Lock()
	services := p.table.services
	p.mu.Unlock()
	return func(yield func(lvs.Service, error) bool) {
		for e := range services.Values() {
			if !yield(e.svc.Clone(), nil) {
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
	if p.unsettled {
		_ = p.settle() // whoever changed the table was told; the next sweep tries again
	}
	freed := false
	for key, d := range p.table.gone.all() {
		if time.Since(d.gone) < time.Minute {
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
	if err := p.assign(d, 0); err != nil {
		return err
	}
	if err := p.clearStats(key.service, d.id); err != nil {
		return err
	}
	p.sieve.destination(key, p.tuning.Rules, d.wide(), -1)
	p.table.dests.remove(key)
	p.table.gone.open(key)
	p.table.orphans[key.service] = slices.DeleteFunc(p.table.orphans[key.service], func(o *dest) bool { return o == d })
	if len(p.table.orphans[key.service]) == 0 {
		delete(p.table.orphans, key.service)
	}
	p.table.destIDs.give(d.id)
	return nil
}
