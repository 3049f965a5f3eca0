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

// refilter brings the filter in front of all look-ups in line with the table.
// A family without any service has no bits, so that what is left of its
// connections goes to the stack, as in IPVS.
func (p *Plane) refilter() error {
	var want engineFilter
	serves := make(map[lvs.Family]bool)
	for k, e := range p.table.services {
		serves[k.AF()] = true
		p.filterService(&want, k, bitsOf(isWide(e.svc)))
	}
	for k, d := range p.table.dests {
		if serves[k.service.AF()] {
			bits := bitsOf(d.written.Flags&destWide != 0)
			want.set(k.addr.Addr(), bits)
			p.filterService(&want, k.service, bits)
		}
	}
	if want == p.bits {
		return nil
	}
	p.bits = want
	return p.write("filters", uint32(0), want)
}

func bitsOf(inWide bool) uint64 {
	if inWide {
		return watched | wide
	}
	return watched
}

// filterService sets the addresses a service's packets may be for. Those of a
// mark are what the classifier's rules say; if one says no single address, or
// the marks come from elsewhere, they may be any.
func (p *Plane) filterService(f *engineFilter, k lvs.ServiceKey, bits uint64) {
	if k.Mark == 0 {
		f.set(k.Addr.Addr(), bits)
		return
	}
	known := false
	for _, r := range p.tuning.Rules {
		if r.Mark != k.Mark {
			continue
		}
		if !r.To.IsValid() || !r.To.IsSingleIP() {
			f.setAll(bits)
			return
		}
		known = true
		f.set(r.To.Addr(), bits)
	}
	if !known {
		f.setAll(bits)
	}
}

func (f *engineFilter) set(a netip.Addr, bits uint64) {
	place := filterPlace(a)
	f.Bits[place>>5] |= bits << (place % 32 * 2)
}

func (f *engineFilter) setAll(bits uint64) {
	for i := range f.Bits {
		f.Bits[i] |= bits * 0x5555555555555555
	}
}
