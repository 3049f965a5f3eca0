// Package estimate turns counters that only ever rise into what people look
// at: counters since somebody zeroed them, and rates a second, by the rules of
// the kernel's IPVS (ip_vs_est.c).
//
// It stands before a data plane's own observer. It never changes a data plane:
// zeroing only moves the point from which is counted.
package estimate

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// interval between two samples; the arithmetic of average is made for it.
const interval = 2 * time.Second

// An Observer reads what a data plane counts and remembers.
type Observer interface {
	Totals(ctx context.Context) (lvs.Totals, error)
	Reading(ctx context.Context) (lvs.Reading, error)
	Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error)
	Use(ctx context.Context) (lvs.ConnectionUse, error)
	Connections(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error]
}

// A gauge follows one set of counters.
type gauge struct {
	known bool         // it has met its counters
	seen  lvs.Counters // at the latest sample
	rate  average
	// zero is where counting begins for people; nil: where it began. Few are
	// ever zeroed, and there is a gauge for each of 100,000 destinations.
	zero *lvs.Counters
}

// Gauges follow a service and its destinations.
type gauges struct {
	service      gauge
	destinations []destinationGauge // in the order of the latest sample
	round        uint64             // of the sample they were last seen in
}

type destinationGauge struct {
	at netip.AddrPort
	gauge
}

// An Estimator is an Observer with rates, whose counters can be zeroed. Its
// methods may be called from anywhere.
type Estimator struct {
	Observer
	mu     sync.Mutex
	gauges map[lvs.ServiceKey]*gauges
	all    gauge        // its seen is what gone services counted, too
	sum    lvs.Counters // of all there is and ever was
	began  bool
	round  uint64
}

// New is an estimator before o that has seen nothing.
func New(o Observer) *Estimator {
	return &Estimator{Observer: o, gauges: make(map[lvs.ServiceKey]*gauges)}
}

// Run takes samples until ctx ends. What cannot be read is left out: the next
// sample makes up for it.
func (e *Estimator) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if r, err := e.Observer.Reading(ctx); err == nil {
			e.sample(r)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sample moves every average on, and forgets what is gone.
func (e *Estimator) sample(r lvs.Reading) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.round++
	var grown lvs.Counters
	services := 0
	for k, s := range r.Each() {
		services++
		g := e.of(k, s)
		g.round = e.round
		grown = grown.Add(e.move(&g.service, s.Counters))
		for i, d := range s.Destinations {
			e.move(&g.destinations[i].gauge, d.Counters)
		}
		if !e.began {
			e.sum = e.sum.Add(s.Counters)
		}
	}
	e.began = true
	if services < len(e.gauges) {
		maps.DeleteFunc(e.gauges, func(_ lvs.ServiceKey, g *gauges) bool { return g.round != e.round })
	}
	e.sum = e.sum.Add(grown)
	e.all.rate = e.all.rate.after(grown)
}

// of are the gauges of a service, with those of its destinations in the order
// of s.
func (e *Estimator) of(k lvs.ServiceKey, s lvs.ServiceCounters) *gauges {
	g, ok := e.gauges[k]
	if !ok {
		g = &gauges{}
		e.gauges[k] = g
	}
	g.follow(s.Destinations)
	return g
}

// follow brings the gauges of destinations in the order of ds.
func (g *gauges) follow(ds []lvs.DestinationCount) {
	if slices.EqualFunc(g.destinations, ds, func(g destinationGauge, d lvs.DestinationCount) bool { return g.at == d.Addr }) {
		return
	}
	before := make(map[netip.AddrPort]gauge, len(g.destinations))
	for _, d := range g.destinations {
		before[d.at] = d.gauge
	}
	g.destinations = make([]destinationGauge, len(ds))
	for i, d := range ds {
		g.destinations[i] = destinationGauge{d.Addr, before[d.Addr]}
	}
}

// move takes a sample, and gives what has been counted since the one before.
func (e *Estimator) move(g *gauge, c lvs.Counters) lvs.Counters {
	if !g.known && !e.began {
		g.seen = c // counted before we came
	}
	delta := c.Sub(g.seen)
	g.known, g.seen, g.rate = true, c, g.rate.after(delta)
	return delta
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
		e.show(k, &s)
		t.Services[k] = s
	}
	t.All, t.AllRates = e.all.sinceZero(e.sum), e.all.rate.shown()
	return t, nil
}

// Reading is the data plane's, less what was zeroed, with rates.
func (e *Estimator) Reading(ctx context.Context) (lvs.Reading, error) {
	r, err := e.Observer.Reading(ctx)
	return shown{r, e}, err
}

// Shown is a reading as people look at it.
type shown struct {
	lvs.Reading
	by *Estimator
}

func (r shown) Each() iter.Seq2[lvs.ServiceKey, lvs.ServiceCounters] {
	return func(yield func(lvs.ServiceKey, lvs.ServiceCounters) bool) {
		for k, s := range r.Reading.Each() {
			r.by.showOne(k, &s)
			if !yield(k, s) {
				return
			}
		}
	}
}

func (r shown) Of(k lvs.ServiceKey) (lvs.ServiceCounters, bool) {
	s, ok := r.Reading.Of(k)
	r.by.showOne(k, &s)
	return s, ok
}

func (e *Estimator) showOne(k lvs.ServiceKey, s *lvs.ServiceCounters) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.show(k, s)
}

// Count is the data plane's, less what was zeroed, with rates.
func (e *Estimator) Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	s, err := e.Observer.Count(ctx, k)
	if err != nil {
		return s, err
	}
	e.showOne(k, &s)
	return s, nil
}

// show turns the data plane's counters into what people look at.
func (e *Estimator) show(k lvs.ServiceKey, s *lvs.ServiceCounters) {
	g, ok := e.gauges[k]
	if !ok {
		return
	}
	s.Counters, s.Rates = g.service.shown(s.Counters)
	for i := range s.Destinations {
		d := &s.Destinations[i]
		d.Counters, d.Rates = g.destination(i, d.Addr).shown(d.Counters)
	}
}

// destination is the gauge of one, which is probably at that place.
func (g *gauges) destination(place int, at netip.AddrPort) gauge {
	if place < len(g.destinations) && g.destinations[place].at == at {
		return g.destinations[place].gauge
	}
	for _, d := range g.destinations {
		if d.at == at {
			return d.gauge
		}
	}
	return gauge{}
}

func (g gauge) shown(c lvs.Counters) (lvs.Counters, lvs.Rates) {
	if !g.known {
		return c, lvs.Rates{}
	}
	return g.sinceZero(c), g.rate.shown()
}

// sinceZero is what c has counted since somebody zeroed it.
func (g gauge) sinceZero(c lvs.Counters) lvs.Counters {
	if g.zero == nil {
		return c
	}
	return c.Sub(*g.zero)
}

// Zero makes a service and its destinations count from now. A nil key means
// everything, the sum over all services with it.
func (e *Estimator) Zero(ctx context.Context, k *lvs.ServiceKey) error {
	if k != nil {
		s, err := e.Observer.Count(ctx, *k)
		if err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.zero(*k, s)
		return nil
	}
	t, err := e.Observer.Totals(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, s := range t.Services {
		e.zero(k, s)
	}
	sum := e.sum
	e.all.zero, e.all.rate = &sum, average{}
	return nil
}

func (e *Estimator) zero(k lvs.ServiceKey, s lvs.ServiceCounters) {
	g := e.of(k, s)
	g.service.restart(s.Counters)
	for i, d := range s.Destinations {
		g.destinations[i].restart(d.Counters)
	}
}

// restart counts from c.
func (g *gauge) restart(c lvs.Counters) {
	if !g.known {
		g.known, g.seen = true, c
	}
	g.zero, g.rate = &c, average{}
}
