package ebpf

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// What the filter knows of an address, as filter.h numbers it.
const (
	watched = 1
	wide    = 2
)

// A census counts, for one family, who asks for which bits of the filter, so
// that a service or destination that comes or goes concerns its own places.
type census struct {
	services  int
	places    map[uint32]refs // by place
	everybody refs            // who asks for all places at once
}

// refs are how many ask for each of the two bits.
type refs struct{ watched, wide int }

func (r *refs) add(inWide bool, n int) {
	r.watched += n
	if inWide {
		r.wide += n
	}
}

func (r refs) bits() (b uint64) {
	if r.watched > 0 {
		b |= watched
	}
	if r.wide > 0 {
		b |= wide
	}
	return b
}

// A sieve is the filter in front of all look-ups as it should be. A family
// without any service has no bits, so that what is left of its connections
// goes to the stack, as in IPVS.
type sieve struct {
	of    map[lvs.Family]*census
	want  engineFilter
	whole bool // something about all places has changed
}

func newSieve() sieve {
	return sieve{of: map[lvs.Family]*census{
		lvs.IPv4: {places: map[uint32]refs{}}, lvs.IPv6: {places: map[uint32]refs{}},
	}, whole: true}
}

// service notes that one came, or went.
func (s *sieve) service(k lvs.ServiceKey, rules []lvs.Rule, inWide bool, n int) {
	c := s.of[k.AF()]
	c.services += n
	if c.services == max(n, 0) {
		s.whole = true // the first of its family came, or the last went
	}
	s.virtual(k, rules, inWide, n)
}

// destination notes that one came, or went.
func (s *sieve) destination(k destKey, rules []lvs.Rule, inWide bool, n int) {
	s.place(k.service.AF(), k.addr.Addr(), inWide, n)
	s.virtual(k.service, rules, inWide, n)
}

// virtual counts the addresses a service's packets may be for. Those of a
// mark are what the classifier's rules say; if one says no single address, or
// the marks come from elsewhere, they may be any.
func (s *sieve) virtual(k lvs.ServiceKey, rules []lvs.Rule, inWide bool, n int) {
	if k.Mark == 0 {
		s.place(k.AF(), k.Addr.Addr(), inWide, n)
		return
	}
	known := false
	for _, r := range rules {
		if r.Mark != k.Mark {
			continue
		}
		if !r.To.IsValid() || !r.To.IsSingleIP() {
			s.any(k.AF(), inWide, n)
			return
		}
		known = true
		s.place(k.AF(), r.To.Addr(), inWide, n)
	}
	if !known {
		s.any(k.AF(), inWide, n)
	}
}

func (s *sieve) any(f lvs.Family, inWide bool, n int) {
	c := s.of[f]
	before := c.everybody.bits()
	c.everybody.add(inWide, n)
	s.whole = s.whole || c.everybody.bits() != before
}

func (s *sieve) place(f lvs.Family, a netip.Addr, inWide bool, n int) {
	at := filterPlace(a)
	c := s.of[f]
	r := c.places[at]
	r.add(inWide, n)
	c.places[at] = r
	if r == (refs{}) {
		delete(c.places, at)
	}
	if !s.whole {
		s.set(at)
	}
}

// set works out one place.
func (s *sieve) set(at uint32) {
	var bits uint64
	for _, c := range s.of {
		if c.services > 0 {
			bits |= c.everybody.bits() | c.places[at].bits()
		}
	}
	shift := at % 32 * 2
	s.want.Bits[at>>5] = s.want.Bits[at>>5]&^(3<<shift) | bits<<shift
}

// setAll works out every place.
func (s *sieve) setAll() {
	s.want = engineFilter{}
	for _, c := range s.of {
		if c.services == 0 {
			continue
		}
		all := c.everybody.bits() * 0x5555555555555555
		for i := range s.want.Bits {
			s.want.Bits[i] |= all
		}
		for at, r := range c.places {
			s.want.Bits[at>>5] |= r.bits() << (at % 32 * 2)
		}
	}
	s.whole = false
}

// refilter brings the filter of the engine in line with the table.
func (p *Plane) refilter() error {
	if p.sieve.whole {
		p.sieve.setAll()
	}
	if p.sieve.want == p.bits {
		return nil
	}
	want := p.sieve.want
	if err := p.write(filtersMap, uint32(0), &want); err != nil {
		return err
	}
	p.bits = want
	return nil
}

// recount begins the filter anew: after the rules that give marks have
// changed, and when a table was adopted.
func (p *Plane) recount() {
	p.sieve = newSieve()
	for k, e := range p.table.services.All() {
		p.sieve.service(k, p.tuning.Rules, isWide(e.svc), 1)
	}
	for k, d := range p.table.dests.all() {
		p.sieve.destination(k, p.tuning.Rules, d.wide(), 1)
	}
}

// wide tells whether connections of the destination may be in the wide table.
func (d *dest) wide() bool { return d.written.Flags&destWide != 0 }
