package ebpf

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// refilter brings the filters in front of all look-ups in line with the table.
// A family without any service has no bits, so that what is left of its
// connections goes to the stack, as in IPVS.
func (p *Plane) refilter() error {
	var watched, wide engineFilter
	serves := make(map[lvs.Family]bool)
	for k, e := range p.table.services {
		serves[k.AF()] = true
		p.filterService(&watched, k)
		if isWide(e.svc) {
			p.filterService(&wide, k)
		}
	}
	for k, d := range p.table.dests {
		if !serves[k.service.AF()] {
			continue
		}
		watched.set(k.addr.Addr())
		p.filterService(&watched, k.service)
		if d.written.Flags&destWide != 0 {
			wide.set(k.addr.Addr())
			p.filterService(&wide, k.service)
		}
	}
	if err := p.writeFilter(0, &p.bits, watched); err != nil {
		return err
	}
	return p.writeFilter(1, &p.wide, wide)
}

// filterService sets the addresses a service's packets may be for. Those of a
// mark are what the classifier's rules say; if one says no single address, or
// the marks come from elsewhere, they may be any.
func (p *Plane) filterService(f *engineFilter, k lvs.ServiceKey) {
	if k.Mark == 0 {
		f.set(k.Addr.Addr())
		return
	}
	known := false
	for _, r := range p.tuning.Rules {
		if r.Mark != k.Mark {
			continue
		}
		if !r.To.IsValid() || !r.To.IsSingleIP() {
			f.setAll()
			return
		}
		known = true
		f.set(r.To.Addr())
	}
	if !known {
		f.setAll()
	}
}

func (p *Plane) writeFilter(n uint32, have *engineFilter, want engineFilter) error {
	if want == *have {
		return nil
	}
	*have = want
	return p.write("filters", n, want)
}

func (f *engineFilter) set(a netip.Addr) {
	bit := filterBit(a)
	f.Bits[bit>>6] |= 1 << (bit & 63)
}

func (f *engineFilter) setAll() {
	for i := range f.Bits {
		f.Bits[i] = ^uint64(0)
	}
}
