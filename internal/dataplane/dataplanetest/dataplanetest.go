// Package dataplanetest holds the promises of dataplane.Dataplane as a test.
// Every body runs it, so that what is tested on the model is true of the real
// thing. It looks only at the table; packets are tested where packets are.
package dataplanetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

// A writer can tell how often it has really changed something. Bodies that
// can are held to "the second time nothing is written".
type writer interface{ Writes() uint64 }

// Run asks every promise of the bodies that open gives, each time an empty
// one. Open cleans up after itself.
func Run(t *testing.T, open func(t *testing.T) dataplane.Dataplane) {
	for _, tt := range promises {
		t.Run(tt.name, func(t *testing.T) {
			p := probe{t: t, Dataplane: open(t)}
			p.want()
			tt.ask(p)
		})
	}
}

var promises = []struct {
	name string
	ask  func(probe)
}{
	{"dropping what is not there is no error", func(p probe) {
		p.drop(v4)
		p.want()
	}},
	{"put and drop", func(p probe) {
		p.put(service(v4, 1, 2, 3))
		p.want(service(v4, 1, 2, 3))
		p.drop(v4)
		p.want()
	}},
	{"a service without destinations", func(p probe) {
		p.put(service(v4))
		p.want(service(v4))
	}},
	{"twice is once", func(p probe) {
		p.put(service(v4, 1, 2))
		p.still(func() { p.put(service(v4, 1, 2)) })
		p.want(service(v4, 1, 2))
		p.drop(v4)
		p.still(func() { p.drop(v4) })
		p.want()
	}},
	{"many at once", func(p probe) {
		b, ok := p.Dataplane.(dataplane.Batcher)
		if !ok {
			return // it has no cheaper way
		}
		p.put(service(v6, 1))
		if err := b.Batch(func() {
			for range 3 { // a service that is dropped and made again, too
				p.put(service(v4, 1, 2))
				p.drop(v4)
			}
			p.put(service(v4, 2, 3))
			p.drop(v6)
		}); err != nil {
			p.t.Errorf("batch: %v", err)
		}
		p.want(service(v4, 2, 3))
		p.put(service(v6, 4))
		p.want(service(v4, 2, 3), service(v6, 4))
	}},
	{"list order is kept", func(p probe) {
		p.put(service(v4, 3, 1, 2))
		p.want(service(v4, 3, 1, 2))
		p.put(service(v4, 2, 3, 1))
		p.want(service(v4, 2, 3, 1))
	}},
	{"replace", func(p probe) {
		p.put(service(v4, 1, 2, 3))
		p.put(service(v4, 4, 2))
		p.want(service(v4, 4, 2))
		p.put(service(v4))
		p.want(service(v4))
	}},
	{"remove and add again", func(p probe) {
		p.put(service(v4, 1, 2))
		p.put(service(v4, 2))
		p.put(service(v4, 1, 2))
		p.want(service(v4, 1, 2))
		p.drop(v4)
		p.put(service(v4, 2, 1))
		p.want(service(v4, 2, 1))
	}},
	{"weight, down to none and back", func(p probe) {
		for _, w := range []int{1, 0, 65535, 7} {
			s := service(v4, 1, 2)
			s.Destinations[1].Weight = w
			p.put(s)
			p.want(s)
		}
	}},
	{"scheduler", func(p probe) {
		for _, k := range []lvs.Scheduler{lvs.RR, lvs.WRR, lvs.LC, lvs.WLC} {
			s := service(v4, 1, 2)
			s.Scheduler = k
			p.put(s)
			p.want(s)
		}
	}},
	{"forwarding and thresholds", func(p probe) {
		s := service(v4, 1, 2)
		s.Destinations[0].Forward = lvs.DirectRoute
		s.Destinations[1].Upper, s.Destinations[1].Lower = 100, 50
		p.put(s)
		p.want(s)
	}},
	{"families and protocols stand side by side, in key order", func(p probe) {
		udp := service(lvs.ServiceKey{Protocol: lvs.UDP, Addr: v4.Addr}, 1)
		six := service(v6, 1, 2)
		p.put(six)
		p.put(udp)
		p.put(service(v4, 3))
		p.want(service(v4, 3), udp, six)
		p.drop(v4)
		p.want(udp, six)
	}},
	{"two services with the same destination", func(p probe) {
		p.put(service(v4, 1, 2))
		p.put(service(other, 2))
		p.drop(v4)
		p.want(service(other, 2))
	}},
	{"many services, many destinations", func(p probe) {
		var all []lvs.Service
		for i := range 100 {
			k := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(v4.Addr.Addr(), uint16(1000+i))}
			all = append(all, service(k, 1+i%7, 20))
		}
		var ids []int
		for i := range 200 {
			ids = append(ids, i+1)
		}
		all[50] = service(all[50].Key, ids...)
		for _, s := range slices.Backward(all) {
			p.put(s)
		}
		p.want(all...)
	}},
	{"what was given may be changed afterwards", func(p probe) {
		s := service(v4, 1, 2)
		p.put(s)
		s.Destinations[0].Weight = 99
		p.want(service(v4, 1, 2))
		for got, err := range p.Installed(p.t.Context()) {
			if err != nil {
				p.t.Fatal(err)
			}
			got.Destinations[0].Weight = 99
		}
		p.want(service(v4, 1, 2))
	}},
	{"looking may stop early", func(p probe) {
		p.put(service(v4, 1))
		p.put(service(v6, 1))
		for s, err := range p.Installed(p.t.Context()) {
			if err != nil || s.Key != v4 {
				p.t.Errorf("first is %v, %v", s, err)
			}
			break
		}
	}},
	{"one service is counted as among all", func(p probe) {
		p.put(service(v4, 3, 1, 2))
		p.put(service(v6, 1))
		p.put(service(v4, 2, 3)) // in another order, with one gone
		p.put(service(other))
		p.counts(v4, 2, 3)
		p.counts(v6, 1)
		p.counts(other)
		p.drop(v6)
		if _, err := p.observer().Count(p.t.Context(), v6); !errors.Is(err, lvs.ErrNoService) {
			p.t.Errorf("counts what does not stand: %v", err)
		}
		if c, ok := p.totals().Services[v6]; ok {
			p.t.Errorf("among all stands what does not: %+v", c)
		}
	}},
	{"counts are the caller's own", func(p probe) {
		p.put(service(v4, 1))
		for range 2 {
			for _, c := range []lvs.ServiceCounters{p.count(v4), p.total(v4)} {
				if len(c.Destinations) != 1 || c.Destinations[0].Connections != 0 {
					p.t.Fatalf("counts %+v", c)
				}
				c.Destinations[0].Connections = 99
			}
		}
	}},
	{"the table is as full as among all counters", func(p probe) {
		p.put(service(v4, 1))
		use, err := p.observer().Use(p.t.Context())
		if all := p.totals(); err != nil || use != all.Connections {
			p.t.Errorf("full %+v, %v; among all %+v", use, err, all.Connections)
		}
	}},
	{"reaching nothing is allowed, twice", func(p probe) {
		for range 2 {
			if err := p.Reach(p.t.Context(), lvs.Network{}); err != nil {
				p.t.Errorf("reach: %v", err)
			}
		}
	}},
}

var (
	v4    = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")}
	other = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.2:80")}
	v6    = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("[2001:db8::1]:80")}
)

// service is a masquerading service with one destination for each id, in
// this list order.
func service(k lvs.ServiceKey, ids ...int) lvs.Service {
	s := lvs.Service{Key: k, Scheduler: lvs.WLC}
	for _, id := range ids {
		text := fmt.Sprintf("10.0.%d.%d:8080", id/250, 1+id%250)
		if k.AF() == lvs.IPv6 {
			text = fmt.Sprintf("[fd00::%x]:8080", id)
		}
		s.Destinations = append(s.Destinations, lvs.Destination{Addr: netip.MustParseAddrPort(text),
			Forward: lvs.Masquerade, Weight: id})
	}
	return s
}

// A probe is a data plane whose errors end the test.
type probe struct {
	t *testing.T
	dataplane.Dataplane
}

func (p probe) put(s lvs.Service) {
	p.t.Helper()
	if err := p.Put(p.t.Context(), s); err != nil {
		p.t.Fatalf("put %v: %v", s.Key, err)
	}
}

func (p probe) drop(k lvs.ServiceKey) {
	p.t.Helper()
	if err := p.Drop(p.t.Context(), k); err != nil {
		p.t.Fatalf("drop %v: %v", k, err)
	}
}

func (p probe) observer() dataplane.Observer { return p.Dataplane.(dataplane.Observer) }

func (p probe) totals() lvs.Totals {
	p.t.Helper()
	all, err := p.observer().Totals(p.t.Context())
	if err != nil {
		p.t.Fatalf("totals: %v", err)
	}
	return all
}

func (p probe) total(k lvs.ServiceKey) lvs.ServiceCounters {
	p.t.Helper()
	c, ok := p.totals().Services[k]
	if !ok {
		p.t.Fatalf("%v is not among all counters", k)
	}
	return c
}

func (p probe) count(k lvs.ServiceKey) lvs.ServiceCounters {
	p.t.Helper()
	c, err := p.observer().Count(p.t.Context(), k)
	if err != nil {
		p.t.Fatalf("count %v: %v", k, err)
	}
	return c
}

// counts asks that one service alone, and in a reading, is counted as among
// all, with these destinations in list order.
func (p probe) counts(k lvs.ServiceKey, ids ...int) {
	p.t.Helper()
	one, among := p.count(k), p.total(k)
	if one.Counters != among.Counters || one.Rates != among.Rates || !slices.Equal(one.Destinations, among.Destinations) {
		p.t.Errorf("%v counts %+v, among all %+v", k, one, among)
	}
	r, err := p.observer().Reading(p.t.Context())
	if err != nil {
		p.t.Fatalf("reading: %v", err)
	}
	if read, ok := r.Of(k); !ok || read.Counters != among.Counters || !slices.Equal(read.Destinations, among.Destinations) {
		p.t.Errorf("%v is read as %+v, among all %+v", k, read, among)
	}
	for o, read := range r.Each() {
		if o == k && (read.Counters != among.Counters || !slices.Equal(read.Destinations, among.Destinations)) {
			p.t.Errorf("%v is read with the others as %+v, among all %+v", k, read, among)
		}
	}
	want := service(k, ids...).Destinations
	if !slices.EqualFunc(one.Destinations, want, func(c lvs.DestinationCount, d lvs.Destination) bool { return c.Addr == d.Addr }) {
		p.t.Errorf("%v counts %+v, want the destinations %v", k, one.Destinations, want)
	}
}

func (p probe) want(want ...lvs.Service) {
	p.t.Helper()
	var got []lvs.Service
	for s, err := range p.Installed(p.t.Context()) {
		if err != nil {
			p.t.Fatalf("installed: %v", err)
		}
		got = append(got, s)
	}
	if !slices.EqualFunc(got, want, lvs.Service.Equal) {
		p.t.Fatalf("installed\n%v\nwant\n%v", lines(got), lines(want))
	}
}

// still asks that do writes nothing.
func (p probe) still(do func()) {
	p.t.Helper()
	w, ok := p.Dataplane.(writer)
	if !ok {
		do()
		return
	}
	before := w.Writes()
	do()
	if after := w.Writes(); after != before {
		p.t.Errorf("%d writes where nothing changed", after-before)
	}
}

func lines(ss []lvs.Service) (out []string) {
	for _, s := range ss {
		out = append(out, s.Lines()...)
	}
	return out
}
