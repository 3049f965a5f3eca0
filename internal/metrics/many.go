package metrics

import (
	"bufio"
	"io"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// A head tells what a family is called, what it means and how it is counted.
type head struct{ name, help, kind string }

// The kinds of metric, in the words of the text format.
const (
	gauge   = "gauge"
	counter = "counter"
)

// A family is a metric of which every service, or every destination, has one.
type family struct {
	head
	of func(*lines, *service)
}

// A service is what a family shows of.
type service struct {
	picture
	lvs.Service
	counts lvs.ServiceCounters
}

// whole is what stands for the destination in the lines of whole services.
var whole netip.AddrPort

// families are in the order they are shown.
var families = []family{
	{fallback, func(l *lines, s *service) { l.add(whole, "", flag(s.s.Fallback.At(s.Key))) }},
	{up, health(func(_ *service, h lvs.DestinationHealth) uint64 { return flag(h.Up) })},
	{ordered, health(func(s *service, h lvs.DestinationHealth) uint64 {
		_, held := s.s.Orders.At(s.Key)[h.Addr]
		return flag(held)
	})},
	{weight, destinations(func(d lvs.Destination, _ lvs.DestinationCounters) uint64 { return uint64(d.Weight) })},
	{active, destinations(func(_ lvs.Destination, n lvs.DestinationCounters) uint64 { return uint64(n.Active) })},
	{inactive, destinations(func(_ lvs.Destination, n lvs.DestinationCounters) uint64 { return uint64(n.Inactive) })},
	{templates, destinations(func(_ lvs.Destination, n lvs.DestinationCounters) uint64 { return uint64(n.Templates) })},
	{serviceCounts.connections, together(connections)},
	{serviceCounts.packets, together(packets)},
	{serviceCounts.bytes, together(bytes)},
	{destinationCounts.connections, each(connections)},
	{destinationCounts.packets, each(packets)},
	{destinationCounts.bytes, each(bytes)},
}

// health shows every real server that was asked for, also those left out of the
// table.
func health(value func(*service, lvs.DestinationHealth) uint64) func(*lines, *service) {
	return func(l *lines, s *service) {
		for _, h := range s.s.Health.At(s.Key) {
			l.add(h.Addr, "", value(s, h))
		}
	}
}

// destinations shows the real servers in the table.
func destinations(value func(lvs.Destination, lvs.DestinationCounters) uint64) func(*lines, *service) {
	return func(l *lines, s *service) {
		for i, d := range s.Destinations {
			l.add(d.Addr, "", value(d, s.counts.Of(i, d.Addr)))
		}
	}
}

// A count writes the lines of one kind of counter, of a service or of one of its
// destinations.
type count func(*lines, netip.AddrPort, lvs.Counters)

func together(n count) func(*lines, *service) {
	return func(l *lines, s *service) { n(l, whole, s.counts.Counters) }
}

func each(n count) func(*lines, *service) {
	return func(l *lines, s *service) {
		for i, d := range s.Destinations {
			n(l, d.Addr, s.counts.Of(i, d.Addr).Counters)
		}
	}
}

func connections(l *lines, a netip.AddrPort, c lvs.Counters) { l.add(a, "", c.Connections) }

func packets(l *lines, a netip.AddrPort, c lvs.Counters) {
	l.add(a, "in", c.InPackets)
	l.add(a, "out", c.OutPackets)
}

func bytes(l *lines, a netip.AddrPort, c lvs.Counters) {
	l.add(a, "in", c.InBytes)
	l.add(a, "out", c.OutBytes)
}

// writeMany writes the families, one after the other. Without counters there are
// none.
func (p picture) writeMany(to io.Writer) error {
	if p.err != nil || p.s.Installed.Len() == 0 {
		return nil
	}
	l := &lines{w: bufio.NewWriterSize(to, 1<<16)}
	for _, f := range families {
		l.begin(f.head)
		for v := range p.s.Installed.Values() {
			l.service = v.Key.String()
			f.of(l, &service{p, v, p.totals.Services[v.Key]})
		}
	}
	return l.w.Flush()
}
