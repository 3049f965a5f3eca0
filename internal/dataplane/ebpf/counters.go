package ebpf

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lvs"
)

// Totals implements dataplane.Observer. It reads without the lock, so that a
// large table does not keep changes waiting.
func (p *Plane) Totals(context.Context) (lvs.Totals, error) {
	for {
		p.mu.Lock()
		c := p.reading()
		p.mu.Unlock()
		if err := c.read(p.engine); err != nil {
			return lvs.Totals{}, err
		}
		p.mu.Lock()
		still := c.zeroings == p.zeroings
		p.mu.Unlock()
		if !still {
			continue // a number was given back meanwhile; that is seldom
		}
		t := c.totals()
		var err error
		t.Verdicts, err = p.verdicts()
		return t, err
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
	gone     []grave
	base     lvs.Table[lvs.Counters]
	use      lvs.ConnectionUse
	zeroings uint64
	numbers  uint32 // that were ever given out

	stats []lvs.Counters // by number
	lives []engineLive
}

// A grave is the number of a destination that was removed.
type grave struct {
	service lvs.ServiceKey
	id      uint32
}

func (p *Plane) reading() reading {
	r := reading{services: p.table.services, base: p.base, use: p.use, zeroings: p.zeroings, numbers: p.table.destIDs.next}
	for k, d := range p.table.gone.all() {
		r.gone = append(r.gone, grave{k.service, d.id})
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
		s := lvs.ServiceCounters{Counters: r.base.At(k), Destinations: room[:n:n]}
		room = room[n:]
		e.count(&s, func(id uint32) (lvs.Counters, engineLive) { return r.stats[id], r.lives[id] })
		t.Services[k] = s
	}
	for _, g := range r.gone {
		if s, ok := t.Services[g.service]; ok {
			s.Counters = s.Counters.Add(r.stats[g.id])
			t.Services[g.service] = s
		}
	}
	return t
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
