package ebpf

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/sched"
)

// TestSchedulersAgainstTheModel lets random services live through random
// packets and random changes. Every choice the engine makes must be the one
// the model of the kernel's IPVS makes from the same counts.
func TestSchedulersAgainstTheModel(t *testing.T) {
	for _, s := range []lvs.Scheduler{lvs.RR, lvs.WRR, lvs.LC, lvs.WLC, lvs.SED, lvs.NQ, lvs.FO, lvs.OVF} {
		t.Run(string(s), func(t *testing.T) {
			for seed := range uint64(10) {
				t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
					live(newRig(t), s, 1, 6, rand.New(rand.NewPCG(seed, uint64(len(s)))))
				})
			}
		})
	}
}

// TestGroupsAgainstTheModel does the same with lists so long that the best of a
// group is remembered: around the length from which that is so, and well beyond.
func TestGroupsAgainstTheModel(t *testing.T) {
	for _, s := range []lvs.Scheduler{lvs.LC, lvs.WLC, lvs.SED, lvs.NQ} {
		for _, from := range []int{grouped - 3, 5 * groupSize} {
			t.Run(fmt.Sprintf("%s from %d", s, from), func(t *testing.T) {
				live(newRig(t), s, from, 6, rand.New(rand.NewPCG(uint64(from), uint64(len(s)))))
			})
		}
	}
}

// live begins with so many destinations, and up to `more` more.
func live(r *rig, s lvs.Scheduler, from, more int, rng *rand.Rand) {
	all := tcpService(s, lvs.Masquerade, from+2*more)
	r.reach(1500, false, all)
	svc := all.Clone()
	svc.Destinations = svc.Destinations[:from+rng.IntN(more)]
	reweigh(svc, rng)
	r.put(svc)
	model := sched.NewModel(s, svc.Destinations)
	for port := uint16(1024); port < 1324; port++ {
		if rng.IntN(25) == 0 {
			svc = change(svc, all, rng)
			model.Round = sched.After(s, model.Round, model.Dests, svc.Destinations)
			model.Dests = svc.Destinations
			r.put(svc)
		}
		want, ok := model.Pick(r.loads(svc))
		f := r.ingress(segment(netip.AddrPortFrom(client.Addr(), port), vip, "S"))
		if !ok {
			if f.verdict != "no-destination" {
				r.Fatalf("port %d: %q, but the model finds nobody in %v", port, f.verdict, svc.Lines())
			}
			continue
		}
		if got := r.look(f.out).to; got != svc.Destinations[want].Addr {
			r.Fatalf("port %d: went to %s, the model says %s\n%v\n%v", port, got, svc.Destinations[want].Addr, svc.Lines(), r.loads(svc))
		}
		r.someLater(rng, port)
	}
}

// TestHashingAgainstTheModel: tables of random weights, random clients, with
// and without ports and fallback, some servers full.
func TestHashingAgainstTheModel(t *testing.T) {
	for _, s := range []lvs.Scheduler{lvs.SH, lvs.DH, lvs.MH} {
		for seed := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, uint64(len(s))))
			r := newRig(t)
			svc := tcpService(s, lvs.Masquerade, 1+rng.IntN(8))
			svc.SchedFlags = uint8(seed)
			for i := range svc.Destinations {
				svc.Destinations[i].Weight = 1 + rng.IntN(100)
				svc.Destinations[i].Upper = uint32(rng.IntN(2) * 20)
			}
			r.reach(1500, false, svc)
			r.put(svc)
			model := sched.NewModel(s, svc.Destinations)
			for range 150 {
				who := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 7, byte(rng.Uint32()), byte(rng.Uint32())}), uint16(1024+rng.IntN(60000)))
				want, ok := model.PickFor(who, vip.Addr(), svc.SchedFlags, r.loads(svc))
				f := r.ingress(segment(who, vip, "S"))
				if !ok && f.verdict == "no-destination" {
					continue
				}
				if got := r.look(f.out).to; !ok || got != svc.Destinations[want].Addr {
					t.Fatalf("%s seed %d, client %s: went to %s, the model says %d %v", s, seed, who, got, want, ok)
				}
			}
		}
	}
}

// someLater lets earlier connections move on.
func (r *rig) someLater(rng *rand.Rand, port uint16) {
	for range rng.IntN(3) {
		earlier := netip.AddrPortFrom(client.Addr(), 1024+uint16(rng.IntN(int(port)-1023)))
		r.ingress(segment(earlier, vip, []flags{"A", "A", "FA", "R"}[rng.IntN(4)]))
	}
}

func (r *rig) loads(s lvs.Service) []sched.Load {
	var loads []sched.Load
	for _, d := range s.Destinations {
		a, i := r.load(s.Key, d)
		loads = append(loads, sched.Load{Active: a, Inactive: i, Overloaded: r.overloaded(s.Key, d)})
	}
	return loads
}

func (r *rig) overloaded(k lvs.ServiceKey, d lvs.Destination) bool {
	var o engineOverload
	if err := r.plane.engine.maps["overloads"].Lookup(r.plane.table.dests.get(destKey{k, d.Addr}).id, &o); err != nil {
		r.Fatal(err)
	}
	return o.On != 0
}

func reweigh(s lvs.Service, rng *rand.Rand) {
	for i := range s.Destinations {
		s.Destinations[i].Weight = rng.IntN(5) * (1 + rng.IntN(3))
		s.Destinations[i].Upper = uint32(rng.IntN(3) * rng.IntN(40))
	}
}

// change adds at the head, removes anywhere, or gives new weights.
func change(s, all lvs.Service, rng *rand.Rand) lvs.Service {
	s = s.Clone()
	switch n := len(s.Destinations); rng.IntN(3) {
	case 0:
		for _, d := range all.Destinations {
			if _, there := s.Destination(d.Addr); !there {
				s.Destinations = append([]lvs.Destination{d}, s.Destinations...)
				break
			}
		}
	case 1:
		i := rng.IntN(n)
		if n > 1 {
			s.Destinations = append(s.Destinations[:i], s.Destinations[i+1:]...)
		}
	default:
		reweigh(s, rng)
	}
	return s
}

// TestThresholds is the course observed on the kernel: four connections fill a
// server, the fifth is refused; it takes new ones only when fewer than three
// quarters are left, or fewer than the lower threshold.
func TestThresholds(t *testing.T) {
	for _, tt := range []struct {
		lower   uint32
		ends    int // connections that end before it takes new ones
		refused int // … and how many may end without
	}{{0, 2, 1}, {2, 3, 2}, {4, 1, 0}} {
		r := newRig(t)
		svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
		svc.Destinations[0].Upper, svc.Destinations[0].Lower = 4, tt.lower
		r.reach(1500, false, svc)
		r.put(svc)
		for port := range uint16(4) {
			if f := r.ingress(segment(from(port), vip, "S")); f.verdict != "forwarded" {
				t.Fatalf("connection %d: %q", port+1, f.verdict)
			}
		}
		for ended := range tt.ends {
			if f := r.ingress(segment(from(99), vip, "S")); f.verdict != "no-destination" {
				t.Errorf("lower %d, %d of 4 ended: %q", tt.lower, ended, f.verdict)
			}
			r.end(from(uint16(ended)))
		}
		if f := r.ingress(segment(from(99), vip, "S")); f.verdict != "forwarded" {
			t.Errorf("lower %d, %d of 4 ended: %q", tt.lower, tt.ends, f.verdict)
		}
	}
}

func TestThresholdsChanged(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	for port := range uint16(3) {
		r.ingress(segment(from(port), vip, "S"))
	}
	for _, tt := range []struct {
		upper   uint32
		verdict string
	}{{3, "no-destination"}, {100, "forwarded"}, {4, "no-destination"}, {0, "forwarded"}} {
		svc = svc.Clone()
		svc.Destinations[0].Upper = tt.upper
		r.put(svc)
		if f := r.ingress(segment(from(50+uint16(tt.upper)), vip, "S")); f.verdict != tt.verdict {
			t.Errorf("upper %d: %q, want %q", tt.upper, f.verdict, tt.verdict)
		}
	}
}

func from(port uint16) netip.AddrPort { return netip.AddrPortFrom(client.Addr(), 2000+port) }

// end makes one connection's time be over and sweeps it.
func (r *rig) end(client netip.AddrPort) {
	r.Helper()
	key := uint64(wire16(client.Port())) << 32
	r.eachEntry(func(k, w uint64) uint64 {
		if k&(0xffff<<32) != key {
			return w
		}
		return w&0xffffffff | uint64(ticksNow()-1)<<32
	})
	r.sweepAll()
}

// TestTwos: two are drawn by lot and the less loaded is taken, so nobody
// usable stays far below its weight, and nobody else gets anything.
func TestTwos(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.TWOS, lvs.Masquerade, 5)
	for i := range svc.Destinations {
		svc.Destinations[i].Weight = i // the first takes none
	}
	svc.Destinations[4].Upper = 3
	r.reach(1500, false, svc)
	r.put(svc)
	for port := uint16(1024); port < 1324; port++ {
		if f := r.ingress(segment(netip.AddrPortFrom(client.Addr(), port), vip, "S")); f.verdict != "forwarded" {
			t.Fatalf("port %d: %q", port, f.verdict)
		}
	}
	loads := r.loads(svc)
	if loads[0].Active != 0 || loads[4].Active != 3 {
		t.Errorf("quiesced has %d, full has %d", loads[0].Active, loads[4].Active)
	}
	for i := 1; i < 4; i++ {
		// 297 connections for weights 1, 2, 3.
		if fair := uint32(297 * i / 6); loads[i].Active < fair/2 || loads[i].Active > 2*fair {
			t.Errorf("weight %d has %d connections, about %d would be fair", i, loads[i].Active, fair)
		}
	}
}
