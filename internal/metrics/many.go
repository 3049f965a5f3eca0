package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-lb/weir/internal/lvs"
)

// A family is a metric of which every service, or every destination, has one.
type family struct {
	name *prometheus.Desc
	of   func(emitter, service)
}

// A service is what a family shows of.
type service struct {
	picture
	lvs.Service
	label  string
	counts lvs.ServiceCounters
}

// families are in the order they are shown.
var families = []family{
	{fallback, func(e emitter, s service) { e.gauge(flag(s.s.Fallback.At(s.Key)), s.label) }},
	{up, health(func(_ service, h lvs.DestinationHealth) float64 { return flag(h.Up) })},
	{ordered, health(func(s service, h lvs.DestinationHealth) float64 {
		_, held := s.s.Orders.At(s.Key)[h.Addr]
		return flag(held)
	})},
	{weight, destinations(func(d lvs.Destination, _ lvs.DestinationCounters) float64 { return float64(d.Weight) })},
	{active, destinations(func(_ lvs.Destination, n lvs.DestinationCounters) float64 { return float64(n.Active) })},
	{inactive, destinations(func(_ lvs.Destination, n lvs.DestinationCounters) float64 { return float64(n.Inactive) })},
	{templates, destinations(func(_ lvs.Destination, n lvs.DestinationCounters) float64 { return float64(n.Templates) })},
	{serviceCounts.connections, whole(connections)},
	{serviceCounts.packets, whole(packets)},
	{serviceCounts.bytes, whole(bytes)},
	{destinationCounts.connections, each(connections)},
	{destinationCounts.packets, each(packets)},
	{destinationCounts.bytes, each(bytes)},
}

// health shows every real server that was asked for, also those left out of the
// table.
func health(value func(service, lvs.DestinationHealth) float64) func(emitter, service) {
	return func(e emitter, s service) {
		for _, h := range s.s.Health.At(s.Key) {
			e.gauge(value(s, h), s.label, h.Addr.String())
		}
	}
}

// destinations shows the real servers in the table.
func destinations(value func(lvs.Destination, lvs.DestinationCounters) float64) func(emitter, service) {
	return func(e emitter, s service) {
		for i, d := range s.Destinations {
			e.gauge(value(d, s.counts.Of(i, d.Addr)), s.label, d.Addr.String())
		}
	}
}

func whole(count func(emitter, lvs.Counters, ...string)) func(emitter, service) {
	return func(e emitter, s service) { count(e, s.counts.Counters, s.label) }
}

func each(count func(emitter, lvs.Counters, ...string)) func(emitter, service) {
	return func(e emitter, s service) {
		for i, d := range s.Destinations {
			count(e, s.counts.Of(i, d.Addr).Counters, s.label, d.Addr.String())
		}
	}
}

func connections(e emitter, c lvs.Counters, labels ...string) { e.counter(c.Connections, labels...) }

func packets(e emitter, c lvs.Counters, labels ...string) {
	e.counter(c.InPackets, append(labels[:len(labels):len(labels)], "in")...)
	e.counter(c.OutPackets, append(labels[:len(labels):len(labels)], "out")...)
}

func bytes(e emitter, c lvs.Counters, labels ...string) {
	e.counter(c.InBytes, append(labels[:len(labels):len(labels)], "in")...)
	e.counter(c.OutBytes, append(labels[:len(labels):len(labels)], "out")...)
}

// Many collects one family.
type many struct {
	picture
	family
}

// Describe names it.
func (m many) Describe(ch chan<- *prometheus.Desc) { ch <- m.name }

// Collect implements prometheus.Collector. Without counters it shows nothing.
func (m many) Collect(ch chan<- prometheus.Metric) {
	if m.err != nil {
		return
	}
	e := emitter{ch, m.name}
	for v := range m.s.Installed.Values() {
		m.of(e, service{m.picture, v, v.Key.String(), m.totals.Services[v.Key]})
	}
}
