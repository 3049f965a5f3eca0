// Package metrics shows what weir does as Prometheus metrics. It reads
// finished snapshots and counters when it is asked, and keeps nothing.
//
// Labels are services, real servers, fates and reasons: as many as the
// configuration and the code have, never one for each client or connection.
package metrics

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-lb/weir/internal/lvs"
)

// Options are what is shown.
type Options struct {
	Snapshot func() *lvs.Snapshot
	Totals   func(context.Context) (lvs.Totals, error) // as the data plane counts: zeroing must not show
	Version  string
}

// Handler answers with all metrics, those of the process with them.
func Handler(o Options) (http.Handler, error) {
	r, err := registry(o)
	if err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{}), nil
}

func registry(o Options) (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collector{o}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// A collector is all of weir's metrics.
type collector struct{ o Options }

// Describe names every metric.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
}

// Collect takes one picture.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.o.Snapshot()
	e := emitter{ch}
	e.gauge(buildInfo, 1, c.o.Version)
	e.gauge(configured, flag(s.Configured))
	e.gauge(problem, flag(s.Problem != ""))
	if !s.Applied.IsZero() {
		e.gauge(applied, float64(s.Applied.UnixMilli())/1000)
	}
	e.gauge(services, float64(s.Installed.Len()))
	e.gauge(byHand, float64(s.ByHand.Len()))
	for kind, n := range drifted(s) {
		e.gauge(drift, float64(n), string(kind))
	}
	e.health(s)
	totals, err := c.o.Totals(context.Background())
	e.gauge(readable, flag(err == nil))
	if err != nil {
		return
	}
	for v := range s.Installed.Values() {
		e.service(s, v, totals.Services[v.Key])
	}
	for _, v := range totals.Verdicts {
		e.counter(verdicts, v.Packets, v.Name, v.Fate)
	}
	e.gauge(tableUsed, float64(totals.Connections.Used))
	if totals.Connections.Size > 0 { // else the table has no end
		e.gauge(tableSize, float64(totals.Connections.Size))
		e.gauge(tableHalf, float64(totals.Connections.Half))
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

func flag(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

// An emitter hands metrics out.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// health tells how many real servers are down, and why.
func (e emitter) health(s *lvs.Snapshot) {
	down := map[lvs.Reason]int{}
	up := 0
	for hs := range s.Health.Values() {
		for _, h := range hs {
			if h.Up {
				up++
			} else {
				down[h.Reason]++
			}
		}
	}
	e.gauge(serversUp, float64(up))
	for reason, n := range down {
		e.gauge(serversDown, float64(n), string(reason))
	}
}

func (e emitter) service(s *lvs.Snapshot, v lvs.Service, c lvs.ServiceCounters) {
	name := v.Key.String()
	e.counts(serviceCounts, c.Counters, name)
	e.gauge(fallback, flag(s.Fallback.At(v.Key)), name)
	for i, d := range v.Destinations {
		n := c.Of(i, d.Addr)
		at := d.Addr.String()
		e.counts(destinationCounts, n.Counters, name, at)
		e.gauge(weight, float64(d.Weight), name, at)
		e.gauge(active, float64(n.Active), name, at)
		e.gauge(inactive, float64(n.Inactive), name, at)
		e.gauge(templates, float64(n.Templates), name, at)
	}
	e.state(s, v.Key, name)
}

// state tells of every real server asked for, also those left out of the
// table, whether it is up and whether an order holds it.
func (e emitter) state(s *lvs.Snapshot, k lvs.ServiceKey, name string) {
	for _, h := range s.Health.At(k) {
		e.gauge(up, flag(h.Up), name, h.Addr.String())
		e.gauge(ordered, flag(has(s.Orders.At(k), h.Addr)), name, h.Addr.String())
	}
}

func has(orders map[netip.AddrPort]lvs.Order, at netip.AddrPort) bool {
	_, ok := orders[at]
	return ok
}

func (e emitter) counts(d countDescs, c lvs.Counters, labels ...string) {
	in, out := append(labels[:len(labels):len(labels)], "in"), append(labels[:len(labels):len(labels)], "out")
	e.counter(d.connections, c.Connections, labels...)
	e.counter(d.packets, c.InPackets, in...)
	e.counter(d.packets, c.OutPackets, out...)
	e.counter(d.bytes, c.InBytes, in...)
	e.counter(d.bytes, c.OutBytes, out...)
}
