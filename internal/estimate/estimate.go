// Package estimate turns counters that only ever rise into what people look
// at: counters since somebody zeroed them, and rates a second, by the rules of
// the kernel's IPVS (ip_vs_est.c).
//
// It stands before a data plane's own observer. It never changes a data plane:
// zeroing only moves the point from which is counted.
package estimate

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// interval between two samples; the arithmetic of average is made for it.
const interval = 2 * time.Second

// An Observer reads what a data plane counts and remembers.
type Observer interface {
	Totals(ctx context.Context) (lvs.Totals, error)
	Connections(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error]
}

// A place is a service, or one of its destinations.
type place struct {
	service     lvs.ServiceKey
	destination netip.AddrPort // unset: the service itself
}

// A gauge follows one set of counters.
type gauge struct {
	seen  lvs.Counters // at the latest sample
	zero  lvs.Counters // where counting begins for people
	rate  average
	round uint64 // of the sample it was last seen in
}

// An Estimator is an Observer with rates, whose counters can be zeroed. Its
// methods may be called from anywhere.
type Estimator struct {
	Observer
	mu     sync.Mutex
	gauges map[place]*gauge
	all    gauge        // its seen is what gone services counted, too
	sum    lvs.Counters // of all there is and ever was
	began  bool
	round  uint64
}

// New is an estimator before o that has seen nothing.
func New(o Observer) *Estimator { return &Estimator{Observer: o, gauges: make(map[place]*gauge)} }

// Run takes samples until ctx ends. What cannot be read is left out: the next
// sample makes up for it.
func (e *Estimator) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if t, err := e.Observer.Totals(ctx); err == nil {
			e.sample(t)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sample moves every average on, and forgets what is gone.
func (e *Estimator) sample(t lvs.Totals) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.round++
	seen := 0
	var grown lvs.Counters
	each(t, func(p place, c lvs.Counters) {
		g, known := e.gauges[p]
		if !known {
			g = &gauge{}
			e.gauges[p] = g
			if !e.began {
				g.seen = c // counted before we came
			}
		}
		delta := c.Sub(g.seen)
		if p.destination == (netip.AddrPort{}) {
			grown = grown.Add(delta)
			if !e.began {
				e.sum = e.sum.Add(c)
			}
		}
		g.rate = g.rate.after(delta)
		g.seen = c
		g.round = e.round
		seen++
	})
	e.began = true
	if seen < len(e.gauges) {
		maps.DeleteFunc(e.gauges, func(_ place, g *gauge) bool { return g.round != e.round })
	}
	e.sum = e.sum.Add(grown)
	e.all.rate = e.all.rate.after(grown)
}

// each visits everything that counts.
func each(t lvs.Totals, visit func(place, lvs.Counters)) {
	for k, s := range t.Services {
		visit(place{service: k}, s.Counters)
		for at, d := range s.Destinations {
			visit(place{k, at}, d.Counters)
		}
	}
}

// Totals are the data plane's, less what was zeroed, with rates. The sum over
// all services is as old as the latest sample.
func (e *Estimator) Totals(ctx context.Context) (lvs.Totals, error) {
	t, err := e.Observer.Totals(ctx)
	if err != nil {
		return t, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, s := range t.Services {
		s.Counters, s.Rates = e.shown(place{service: k}, s.Counters)
		for at, d := range s.Destinations {
			d.Counters, d.Rates = e.shown(place{k, at}, d.Counters)
			s.Destinations[at] = d
		}
		t.Services[k] = s
	}
	t.All, t.AllRates = e.sum.Sub(e.all.zero), e.all.rate.shown()
	return t, nil
}

func (e *Estimator) shown(p place, c lvs.Counters) (lvs.Counters, lvs.Rates) {
	g, ok := e.gauges[p]
	if !ok {
		return c, lvs.Rates{}
	}
	return c.Sub(g.zero), g.rate.shown()
}

// Zero makes a service and its destinations count from now. A nil key means
// everything, the sum over all services with it.
func (e *Estimator) Zero(ctx context.Context, k *lvs.ServiceKey) error {
	t, err := e.Observer.Totals(ctx)
	if err != nil {
		return err
	}
	if k != nil {
		if _, ok := t.Services[*k]; !ok {
			return fmt.Errorf("%v: %w", *k, lvs.ErrNoService)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	each(t, func(p place, c lvs.Counters) {
		if k != nil && p.service != *k {
			return
		}
		g, known := e.gauges[p]
		if !known {
			g = &gauge{seen: c}
			e.gauges[p] = g
		}
		g.zero, g.rate = c, average{}
	})
	if k == nil {
		e.all.zero, e.all.rate = e.sum, average{}
	}
	return nil
}
