// Package memory is a data plane that only remembers: the model other rooms
// are tested with, and the yardstick for dataplane/dataplanetest. It forwards
// no packet, and nothing that ships imports it.
package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Plane is a data plane in memory. Its methods may be called from anywhere.
type Plane struct {
	mu          sync.Mutex
	services    map[lvs.ServiceKey]lvs.Service
	network     lvs.Network
	tuning      lvs.Tuning
	connections []lvs.Connection
	writes      uint64
	since       time.Time
}

var (
	_ dataplane.Dataplane = (*Plane)(nil)
	_ dataplane.Observer  = (*Plane)(nil)
)

// New is an empty plane.
func New() *Plane {
	return &Plane{services: make(map[lvs.ServiceKey]lvs.Service), since: time.Now()}
}

// Put keeps the promise of dataplane.Dataplane.
func (p *Plane) Put(ctx context.Context, s lvs.Service) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.services[s.Key]; !ok || !have.Equal(s) {
		p.services[s.Key] = s.Clone()
		p.writes++
	}
	return nil
}

// Drop keeps the promise of dataplane.Dataplane.
func (p *Plane) Drop(ctx context.Context, k lvs.ServiceKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.services[k]; ok {
		delete(p.services, k)
		p.writes++
	}
	return nil
}

// Tune keeps the promise of dataplane.Dataplane.
func (p *Plane) Tune(ctx context.Context, t lvs.Tuning) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tuning.Equal(t) {
		p.tuning = t
		p.tuning.Rules = slices.Clone(t.Rules)
		p.writes++
	}
	return nil
}

// Tuning is what Tune was told.
func (p *Plane) Tuning() lvs.Tuning {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tuning
}

// Installed keeps the promise of dataplane.Dataplane.
func (p *Plane) Installed(ctx context.Context) iter.Seq2[lvs.Service, error] {
	return func(yield func(lvs.Service, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(lvs.Service{}, err)
			return
		}
		for _, s := range p.sorted() {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (p *Plane) sorted() []lvs.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.SortedFunc(maps.Values(p.services), func(a, b lvs.Service) int { return a.Key.Compare(b.Key) })
	for i := range all {
		all[i] = all[i].Clone()
	}
	return all
}

// Reach keeps the promise of dataplane.Dataplane.
func (p *Plane) Reach(ctx context.Context, n lvs.Network) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.network = n
	return nil
}

// Timeouts are those in force.
func (p *Plane) Timeouts() lvs.Timeouts { return p.Tuning().Timeouts }

// Network is what Reach was last told.
func (p *Plane) Network() lvs.Network {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.network
}

// Writes counts the changes that changed something.
func (p *Plane) Writes() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}

// Connect makes the plane list these connections.
func (p *Plane) Connect(cs ...lvs.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections = append(p.connections, cs...)
}

// Totals counts nothing but names every service and destination.
func (p *Plane) Totals(ctx context.Context) (lvs.Totals, error) {
	t := lvs.Totals{Services: make(map[lvs.ServiceKey]lvs.ServiceCounters)}
	for _, s := range p.sorted() {
		t.Services[s.Key] = named(s)
	}
	var err error
	t.Connections, err = p.Use(ctx)
	return t, err
}

// Reading is Totals, a service at a time.
func (p *Plane) Reading(ctx context.Context) (lvs.Reading, error) { return p.Totals(ctx) }

// Count counts nothing but names every destination.
func (p *Plane) Count(_ context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.services[k]
	if !ok {
		return lvs.ServiceCounters{}, fmt.Errorf("%v: %w", k, lvs.ErrNoService)
	}
	return named(s), nil
}

func named(s lvs.Service) (c lvs.ServiceCounters) {
	for _, d := range s.Destinations {
		c.Destinations = append(c.Destinations, lvs.DestinationCount{Addr: d.Addr})
	}
	return c
}

// Use counts the connections.
func (p *Plane) Use(context.Context) (lvs.ConnectionUse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return lvs.ConnectionUse{Used: len(p.connections)}, nil
}

// Connections keeps the promise of dataplane.Observer.
func (p *Plane) Connections(_ context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error] {
	p.mu.Lock()
	all := slices.Clone(p.connections)
	p.mu.Unlock()
	return func(yield func(lvs.Connection, error) bool) {
		for _, c := range all {
			if f.Match(c) && !yield(c, nil) {
				return
			}
		}
	}
}

// Plane describes the body.
func (p *Plane) Plane() lvs.Plane {
	return lvs.Plane{Name: "memory", Modes: map[string]string{}, Since: p.since}
}
