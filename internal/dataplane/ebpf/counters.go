package ebpf

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lvs"
)

// Totals implements dataplane.Observer.
func (p *Plane) Totals(context.Context) (lvs.Totals, error) {
	r, err := p.read()
	if err != nil {
		return lvs.Totals{}, err
	}
	t := r.totals()
	t.Verdicts, err = p.verdicts()
	return t, err
}

// Reading implements dataplane.Observer.
func (p *Plane) Reading(context.Context) (lvs.Reading, error) { return p.read() }

// read reads without the lock, so that a large table does not keep changes
// waiting.
func (p *Plane) read() (*reading, error) {
	for {
		p.mu.Lock()
		r := p.reading()
		p.mu.Unlock()
		if err := r.read(p.engine); err != nil {
			return nil, err
		}
		p.mu.Lock()
		still := r.zeroings == p.zeroings
		p.mu.Unlock()
		if still {
			return r, nil
		}
		// A number was given back meanwhile; that is seldom.
	}
}

// Use implements dataplane.Observer. It is as old as the latest sweep.
func (p *Plane) Use(context.Context) (lvs.ConnectionUse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.use, nil
}

// Count implements dataplane.Observer. One service's numbers are few, and are
// read under the lock, so that none is given back meanwhile.
func (p *Plane) Count(_ context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.table.services.Get(k)
	if !ok {
		return lvs.ServiceCounters{}, fmt.Errorf("%v: %w", k, lvs.ErrNoService)
	}
	var errs []error
	counted := func(id uint32) (lvs.Counters, engineLive) {
		c, err := p.stats(id)
		live, missing := p.live(id)
		errs = append(errs, err, missing)
		return c, live
	}
	s := lvs.ServiceCounters{Counters: p.base.At(k), Destinations: make([]lvs.DestinationCount, len(e.dests))}
	e.count(&s, counted)
	for _, d := range p.table.gone[k] {
		c, _ := counted(d.id)
		s.Counters = s.Counters.Add(c)
	}
	if err := errors.Join(errs...); err != nil {
		return lvs.ServiceCounters{}, err
	}
	return s, nil
}

// count adds up what the destinations of e have counted.
func (e *entry) count(s *lvs.ServiceCounters, counted func(id uint32) (lvs.Counters, engineLive)) {
	for i, d := range e.dests {
		c, live := counted(d.id)
		s.Counters = s.Counters.Add(c)
		s.Destinations[i] = lvs.DestinationCount{Addr: e.svc.Destinations[i].Addr, DestinationCounters: lvs.DestinationCounters{
			Counters: c, Active: uint32(live.Conns >> 32), Inactive: uint32(live.Conns), Templates: uint32(live.Templates)}}
	}
}

// A reading is what was to be counted at one moment, and the counts.
type reading struct {
	services lvs.Table[*entry]
	gone     map[lvs.ServiceKey][]uint32 // numbers of destinations that were removed
	base     lvs.Table[lvs.Counters]
	use      lvs.ConnectionUse
	zeroings uint64
	numbers  uint32 // that were ever given out

	stats []lvs.Counters // by number
	lives []engineLive
	room  []lvs.DestinationCount // of the service that was told last
}

func (p *Plane) reading() *reading {
	r := &reading{services: p.table.services, gone: make(map[lvs.ServiceKey][]uint32, len(p.table.gone)),
		base: p.base, use: p.use, zeroings: p.zeroings, numbers: p.table.destIDs.next}
	for k, d := range p.table.gone.all() {
		r.gone[k.service] = append(r.gone[k.service], d.id)
	}
	return r
}

// read takes the counts of all numbers, many with one call.
func (r *reading) read(e *engine) error {
	r.stats, r.lives = make([]lvs.Counters, r.numbers), make([]engineLive, r.numbers)
	err := scan(e.maps["lives"], func(id uint32, l *engineLive) bool {
		if id < r.numbers {
			r.lives[id] = *l
		}
		return id+1 < r.numbers
	})
	if err != nil {
		return err
	}
	return perCPU(e.maps["stats"], r.numbers, func(id uint32, per []engineDestStats) { r.stats[id] = sum(per) })
}

func (r *reading) totals() lvs.Totals {
	t := lvs.Totals{Services: make(map[lvs.ServiceKey]lvs.ServiceCounters, r.services.Len()), Connections: r.use}
	places := 0
	for e := range r.services.Values() {
		places += len(e.dests)
	}
	room := make([]lvs.DestinationCount, places) // at once: thousands of small ones cost more
	for k, e := range r.services.All() {
		n := len(e.dests)
		t.Services[k] = r.tell(k, e, room[:n:n])
		room = room[n:]
	}
	return t
}

// tell is what a service has counted, in the room given for its destinations.
func (r *reading) tell(k lvs.ServiceKey, e *entry, room []lvs.DestinationCount) lvs.ServiceCounters {
	s := lvs.ServiceCounters{Counters: r.base.At(k), Destinations: room}
	e.count(&s, func(id uint32) (lvs.Counters, engineLive) { return r.stats[id], r.lives[id] })
	for _, id := range r.gone[k] {
		s.Counters = s.Counters.Add(r.stats[id])
	}
	return s
}

// Each implements lvs.Reading.
func (r *reading) Each() iter.Seq2[lvs.ServiceKey, lvs.ServiceCounters] {
	return func(yield func(lvs.ServiceKey, lvs.ServiceCounters) bool) {
		for k, e := range r.services.All() {
			if !yield(k, r.tell(k, e, r.roomFor(e))) {
				return
			}
		}
	}
}

// Of implements lvs.Reading.
func (r *reading) Of(k lvs.ServiceKey) (lvs.ServiceCounters, bool) {
	e, ok := r.services.Get(k)
	if !ok {
		return lvs.ServiceCounters{}, false
	}
	return r.tell(k, e, r.roomFor(e)), true
}

func (r *reading) roomFor(e *entry) []lvs.DestinationCount {
	r.room = slices.Grow(r.room[:0], len(e.dests))
	return r.room[:len(e.dests)]
}

func (p *Plane) stats(id uint32) (lvs.Counters, error) {
	var per []engineDestStats
	if err := p.engine.maps["stats"].Lookup(id, &per); err != nil {
		return lvs.Counters{}, fmt.Errorf("read counters: %w", err)
	}
	return sum(per), nil
}

func sum(per []engineDestStats) (all lvs.Counters) {
	for _, s := range per {
		all = all.Add(lvs.Counters{
			Connections: s.Conns, InPackets: s.InPackets, InBytes: s.InBytes, OutPackets: s.OutPackets, OutBytes: s.OutBytes,
		})
	}
	return all
}

func (p *Plane) live(id uint32) (engineLive, error) {
	var l engineLive
	if err := p.engine.maps["lives"].Lookup(id, &l); err != nil {
		return l, fmt.Errorf("read connection counts: %w", err)
	}
	return l, nil
}

// clearStats empties the counters of a number that is given back; what they
// held stays with its service, as long as there is one.
func (p *Plane) clearStats(k lvs.ServiceKey, id uint32) error {
	counted, err := p.stats(id)
	if err != nil {
		return err
	}
	if _, serves := p.table.services.Get(k); serves {
		p.base = p.base.With(k, p.base.At(k).Add(counted))
	} else {
		p.base = p.base.Without(k)
	}
	p.zeroings++
	return p.zeroStats(id)
}

func (p *Plane) zeroStats(id uint32) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count processors: %w", err)
	}
	return p.write("stats", id, make([]engineDestStats, cpus))
}

func (p *Plane) verdicts() ([]lvs.PacketVerdict, error) {
	list := make([]lvs.PacketVerdict, 0, len(verdictNames))
	for n, v := range verdictNames {
		var per []uint64
		if err := p.engine.maps["verdicts"].Lookup(engineVerdict(n), &per); err != nil {
			return nil, fmt.Errorf("read verdicts: %w", err)
		}
		for _, c := range per {
			v.Packets += c
		}
		if v.Name != "" {
			list = append(list, v)
		}
	}
	return list, nil
}
