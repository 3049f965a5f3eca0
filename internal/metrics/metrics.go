// Package metrics shows what weir does as Prometheus metrics. It reads
// finished snapshots and counters when it is asked, and keeps nothing.
//
// Labels are services, real servers, fates and reasons: as many as the
// configuration and the code have, never one for each client or connection.
package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-lb/weir/internal/lvs"
)

// Options are what is shown.
type Options struct {
	Snapshot func() *lvs.Snapshot
	Routers  func() []lvs.RouterRole                   // nil: none
	Totals   func(context.Context) (lvs.Totals, error) // as the data plane counts: zeroing must not show
	Version  string
}

// A picture is what one answer shows.
type picture struct {
	version string
	s       *lvs.Snapshot
	routers []lvs.RouterRole
	totals  lvs.Totals
	err     error // why there are no totals
}

func (o Options) picture(ctx context.Context) picture {
	p := picture{version: o.Version, s: o.Snapshot()}
	if o.Routers != nil {
		p.routers = o.Routers()
	}
	p.totals, p.err = o.Totals(ctx)
	return p
}

// An emitter hands out metrics of one name.
type emitter struct {
	ch chan<- prometheus.Metric
	d  *prometheus.Desc
}

func (e emitter) gauge(v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(e.d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(v uint64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(e.d, prometheus.CounterValue, float64(v), labels...)
}

func flag(so bool) uint64 {
	if so {
		return 1
	}
	return 0
}

// Few collects what there is not one of for each service.
type few struct{ picture }

// Describe names every metric.
func (few) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range fewDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f few) Collect(ch chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc) emitter { return emitter{ch, d} }
	s := f.s
	show(buildInfo).gauge(1, f.version)
	show(configured).gauge(float64(flag(s.Configured)))
	show(problem).gauge(float64(flag(s.Problem != "")))
	if !s.Applied.IsZero() {
		show(applied).gauge(float64(s.Applied.UnixMilli()) / 1000)
	}
	show(services).gauge(float64(s.Installed.Len()))
	show(byHand).gauge(float64(s.ByHand.Len()))
	for kind, n := range drifted(s) {
		show(drift).gauge(float64(n), string(kind))
	}
	alive, dead := healthy(s)
	show(serversUp).gauge(float64(alive))
	for reason, n := range dead {
		show(serversDown).gauge(float64(n), string(reason))
	}
	for _, r := range f.routers {
		name := r.Router.Name
		show(routerActive).gauge(float64(flag(r.State == lvs.RouterActive)), name)
		show(routerFault).gauge(float64(flag(r.State == lvs.RouterFault)), name)
		show(routerPriority).gauge(float64(r.Priority), name)
		show(routerTakeovers).counter(r.Counts.Takeovers, name)
		show(routerAdverts).counter(r.Counts.Sent, name, "sent")
		show(routerAdverts).counter(r.Counts.Heard, name, "heard")
		show(routerAdverts).counter(r.Counts.Refused, name, "refused")
	}
	show(readable).gauge(float64(flag(f.err == nil)))
	if f.err != nil {
		return
	}
	for _, v := range f.totals.Verdicts {
		show(verdicts).counter(v.Packets, v.Name, v.Fate)
	}
	use := f.totals.Connections
	show(tableUsed).gauge(float64(use.Used))
	if use.Size > 0 { // else the table has no end
		show(tableSize).gauge(float64(use.Size))
		show(tableHalf).gauge(float64(use.Half))
	}
}

// drifted counts every kind of drift, so that none is missing while it is zero.
func drifted(s *lvs.Snapshot) map[lvs.DriftKind]int {
	n := map[lvs.DriftKind]int{lvs.DriftForeign: 0, lvs.DriftMissing: 0, lvs.DriftChanged: 0, lvs.DriftSetting: 0}
	for _, d := range s.Drift {
		n[d.Kind]++
	}
	return n
}

// healthy counts the real servers that are up, and those that are not by reason.
func healthy(s *lvs.Snapshot) (alive int, dead map[lvs.Reason]int) {
	dead = make(map[lvs.Reason]int)
	for hs := range s.Health.Values() {
		for _, h := range hs {
			if h.Up {
				alive++
			} else {
				dead[h.Reason]++
			}
		}
	}
	return alive, dead
}
