package ebpf

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lvs"
)

// Totals implements dataplane.Observer.
func (p *Plane) Totals(context.Context) (lvs.Totals, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := lvs.Totals{Services: make(map[lvs.ServiceKey]lvs.ServiceCounters), Connections: p.use}
	for k := range p.table.services {
		t.Services[k] = lvs.ServiceCounters{Counters: p.base[k], Destinations: make(map[netip.AddrPort]lvs.DestinationCounters)}
	}
	for key, d := range p.table.dests {
		s, ok := t.Services[key.service]
		if !ok {
			continue
		}
		c, err := p.destCounters(d.id)
		if err != nil {
			return t, err
		}
		s.Counters = s.Counters.Add(c.Counters)
		if d.gone.IsZero() {
			s.Destinations[key.addr] = c
		}
		t.Services[key.service] = s
	}
	var err error
	t.Verdicts, err = p.verdicts()
	return t, err
}

func (p *Plane) destCounters(id uint32) (lvs.DestinationCounters, error) {
	sum, err := p.stats(id)
	if err != nil {
		return lvs.DestinationCounters{}, err
	}
	live, err := p.live(id)
	if err != nil {
		return lvs.DestinationCounters{}, err
	}
	return lvs.DestinationCounters{Counters: sum, Active: uint32(live.Conns >> 32), Inactive: uint32(live.Conns),
		Templates: uint32(live.Templates)}, nil
}

func (p *Plane) stats(id uint32) (lvs.Counters, error) {
	var per []engineDestStats
	if err := p.engine.maps["stats"].Lookup(id, &per); err != nil {
		return lvs.Counters{}, fmt.Errorf("read counters: %w", err)
	}
	var sum lvs.Counters
	for _, s := range per {
		sum = sum.Add(lvs.Counters{
			Connections: s.Conns, InPackets: s.InPackets, InBytes: s.InBytes, OutPackets: s.OutPackets, OutBytes: s.OutBytes,
		})
	}
	return sum, nil
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
	sum, err := p.stats(id)
	if err != nil {
		return err
	}
	if _, serves := p.table.services[k]; serves {
		p.base[k] = p.base[k].Add(sum)
	} else {
		delete(p.base, k)
	}
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
