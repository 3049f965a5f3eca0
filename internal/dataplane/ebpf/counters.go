package ebpf

import (
	"context"
	"fmt"
	"net/netip"

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

// A reading is what was to be counted at one moment, and the counts.
type reading struct {
	services lvs.Table[*entry]
	gone     map[destKey]uint32 // numbers of removed destinations
	base     lvs.Table[lvs.Counters]
	use      lvs.ConnectionUse
	zeroings uint64
	numbers  uint32 // that were ever given out

	stats []lvs.Counters // by number
	lives []engineLive
}

func (p *Plane) reading() reading {
	r := reading{services: p.table.services, gone: make(map[destKey]uint32, len(p.table.gone)), base: p.base,
		use: p.use, zeroings: p.zeroings, numbers: p.table.destIDs.next}
	for k, d := range p.table.gone {
		r.gone[k] = d.id
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
	for k, e := range r.services.All() {
		s := lvs.ServiceCounters{Counters: r.base.At(k), Destinations: make(map[netip.AddrPort]lvs.DestinationCounters, len(e.dests))}
		for i, d := range e.dests {
			live := r.lives[d.id]
			s.Counters = s.Counters.Add(r.stats[d.id])
			s.Destinations[e.svc.Destinations[i].Addr] = lvs.DestinationCounters{Counters: r.stats[d.id],
				Active: uint32(live.Conns >> 32), Inactive: uint32(live.Conns), Templates: uint32(live.Templates)}
		}
		t.Services[k] = s
	}
	for k, id := range r.gone {
		if s, ok := t.Services[k.service]; ok {
			s.Counters = s.Counters.Add(r.stats[id])
			t.Services[k.service] = s
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
