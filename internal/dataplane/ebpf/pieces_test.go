package ebpf

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestCountedIsWhole: after any changes the filter, the kinds and the numbers
// that were lent are what counting everything anew gives.
func TestCountedIsWhole(t *testing.T) {
	r := newRig(t)
	dice := rand.New(rand.NewPCG(5, 6))
	p := r.plane
	for step := range 600 {
		k := randomKey(dice)
		switch n := dice.IntN(12); {
		case n == 0:
			tuning := p.tuning
			tuning.Rules = nil
			for i := range dice.IntN(3) {
				rule := lvs.Rule{Mark: uint32(1 + i), Protocol: lvs.TCP}
				if dice.IntN(3) > 0 {
					rule.To = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32)
				}
				tuning.Rules = append(tuning.Rules, rule)
			}
			if err := p.Tune(t.Context(), tuning); err != nil {
				t.Fatal(err)
			}
		case n < 4:
			if err := p.Drop(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		case n == 4:
			for _, d := range p.table.gone.all() {
				d.gone = d.gone.Add(-61e9)
			}
			if err := p.forget(); err != nil {
				t.Fatal(err)
			}
		default:
			r.put(randomService(dice, k))
		}
		want, serves := wholeFilter(p)
		if p.bits != want {
			t.Fatalf("step %d: the filter differs from a whole one (families %v)", step, serves)
		}
		var written engineFilter
		if err := p.engine.maps[filtersMap].Lookup(uint32(0), &written); err != nil || written != want {
			t.Fatalf("step %d: what is written differs (%v)", step, err)
		}
		var all kinds
		sets := map[uint32]lvs.ServiceKey{}
		for k, e := range p.table.services.All() {
			all.count(e.svc, 1)
			if other, twice := sets[e.set]; twice {
				t.Fatalf("step %d: %s and %s have the same set %d", step, k, other, e.set)
			}
			sets[e.set] = k
		}
		if all != p.kinds {
			t.Fatalf("step %d: kinds %+v, counted %+v", step, p.kinds, all)
		}
	}
	if again := newRigOver(t, false); true {
		if err := again.plane.restore(); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(again.plane.kinds), fmt.Sprint(p.kinds); got != want {
			t.Errorf("restored kinds %s, want %s", got, want)
		}
		// Rules are told by Tune, which comes before anything else is done.
		if err := again.plane.Tune(t.Context(), p.tuning); err != nil {
			t.Fatal(err)
		}
		if again.plane.bits != p.bits {
			t.Error("the restored filter differs")
		}
		for k, e := range p.table.services.All() {
			if got, ok := again.plane.table.services.Get(k); !ok || got.set != e.set || len(got.dests) != len(e.dests) {
				t.Errorf("%s: restored as %+v", k, got)
			}
		}
	}
}

func randomKey(dice *rand.Rand) lvs.ServiceKey {
	switch n := dice.IntN(9); {
	case n == 0:
		return lvs.ServiceKey{Mark: uint32(1 + dice.IntN(3)), Family: lvs.IPv4}
	case n == 1:
		return lvs.ServiceKey{Mark: uint32(1 + dice.IntN(3)), Family: lvs.IPv6}
	case n == 2:
		return lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip6.Addr(), 80)}
	default:
		ports := []uint16{0, 21, 80, 81}
		return lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), ports[dice.IntN(4)])}
	}
}

func randomService(dice *rand.Rand, k lvs.ServiceKey) lvs.Service {
	s := lvs.Service{Key: k, Scheduler: []lvs.Scheduler{lvs.RR, lvs.WLC, lvs.LBLC, lvs.SH}[dice.IntN(4)]}
	if dice.IntN(3) == 0 {
		s.Persistence = lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(k.AF(), k.AddressBits())}
	}
	for i := range 4 {
		if dice.IntN(2) == 0 {
			continue
		}
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)})
		if k.AF() == lvs.IPv6 {
			a = netip.AddrFrom16([16]byte{0xfd, 15: byte(1 + i)})
		}
		s.Destinations = append(s.Destinations, lvs.Destination{Addr: netip.AddrPortFrom(a, k.Addr.Port()), Forward: lvs.DirectRoute, Weight: 1 + dice.IntN(3)})
	}
	return s
}

// wholeFilter is the filter worked out from nothing, place by place.
func wholeFilter(p *Plane) (want engineFilter, serves map[lvs.Family]bool) {
	serves = map[lvs.Family]bool{}
	mark := func(a netip.Addr, inWide bool) {
		at, bits := filterPlace(a), uint64(watched)
		if inWide {
			bits |= wide
		}
		want.Bits[at>>5] |= bits << (at % 32 * 2)
	}
	everywhere := func(inWide bool) {
		bits := uint64(0x5555555555555555)
		if inWide {
			bits |= 0xaaaaaaaaaaaaaaaa
		}
		for i := range want.Bits {
			want.Bits[i] |= bits
		}
	}
	virtual := func(k lvs.ServiceKey, inWide bool) {
		if k.Mark == 0 {
			mark(k.Addr.Addr(), inWide)
			return
		}
		single := false
		for _, r := range p.tuning.Rules {
			if r.Mark == k.Mark && !r.To.IsSingleIP() {
				everywhere(inWide)
				return
			}
			if r.Mark == k.Mark {
				single = true
				mark(r.To.Addr(), inWide)
			}
		}
		if !single {
			everywhere(inWide)
		}
	}
	for k, e := range p.table.services.All() {
		serves[k.AF()] = true
		virtual(k, isWide(e.svc))
	}
	for k, d := range p.table.dests.all() {
		if serves[k.service.AF()] {
			inWide := d.written.Flags&destWide != 0
			mark(k.addr.Addr(), inWide)
			virtual(k.service, inWide)
		}
	}
	return want, serves
}

// TestAChangeWritesWhatChanged counts instead of timing: among many services
// one weight costs as many writes as alone, however often it is changed.
func TestAChangeWritesWhatChanged(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.WLC, lvs.DirectRoute, 3)
	r.put(svc)
	cost := func() uint64 {
		before := r.plane.Writes()
		for i := range 20 {
			svc.Destinations[1].Weight = 10 + i
			r.put(svc)
			svc = svc.Clone()
		}
		return r.plane.Writes() - before
	}
	alone := cost()
	for i := range 50 {
		other := tcpService(lvs.RR, lvs.DirectRoute, 2)
		other.Key.Addr = netip.AddrPortFrom(other.Key.Addr.Addr(), uint16(1000+i))
		r.put(other)
	}
	waited := r.plane.waited
	if among := cost(); among != alone || alone > 20*6 {
		t.Errorf("%d writes alone, %d among others", alone, among)
	}
	if r.plane.waited != waited {
		t.Error("a change has waited for packets, though there are sets to lend")
	}
}
