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
	Totals   func(context.Context) (lvs.Totals, error) // as the data plane counts: zeroing must not show
	Version  string
}

// A picture is what one answer shows.
type picture struct {
	version string
	s       *lvs.Snapshot
	totals  lvs.Totals
	err     error // why there are no totals
}

func (o Options) picture(ctx context.Context) picture {
	p := picture{version: o.Version, s: o.Snapshot()}
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

func flag(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

// Few collects what there is not one of for each service.
type few struct{ picture }

// Describe names every metric.
func (few) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range fewNames {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f few) Collect(ch chan<- prometheus.Metric) {
	of := func(d *prometheus.Desc) emitter { return emitter{ch, d} }
	s := f.s
	of(buildInfo).gauge(1, f.version)
	of(configured).gauge(flag(s.Configured))
	of(problem).gauge(flag(s.Problem != ""))
	if !s.Applied.IsZero() {
		of(applied).gauge(float64(s.Applied.UnixMilli()) / 1000)
	}
	of(services).gauge(float64(s.Installed.Len()))
	of(byHand).gauge(float64(s.ByHand.Len()))
	for kind, n := range drifted(s) {
		of(drift).gauge(float64(n), string(kind))
	}
	alive, dead := healthy(s)
	of(serversUp).gauge(float64(alive))
	for reason, n := range dead {
		of(serversDown).gauge(float64(n), string(reason))
	}
	of(readable).gauge(flag(f.err == nil))
	if f.err != nil {
		return
	}
	for _, v := range f.totals.Verdicts {
		of(verdicts).counter(v.Packets, v.Name, v.Fate)
	}
	use := f.totals.Connections
	of(tableUsed).gauge(float64(use.Used))
	if use.Size > 0 { // else the table has no end
		of(tableSize).gauge(float64(use.Size))
		of(tableHalf).gauge(float64(use.Half))
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
