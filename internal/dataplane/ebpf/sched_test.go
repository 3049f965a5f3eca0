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
	for _, s := range []lvs.Scheduler{lvs.RR, lvs.WRR, lvs.LC, lvs.WLC} {
		t.Run(string(s), func(t *testing.T) {
			for seed := range uint64(15) {
				t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
					live(newRig(t), s, rand.New(rand.NewPCG(seed, uint64(len(s)))))
				})
			}
		})
	}
}

func live(r *rig, s lvs.Scheduler, rng *rand.Rand) {
	all := tcpService(s, lvs.Masquerade, 12)
	r.reach(1500, false, all)
	svc := all.Clone()
	svc.Destinations = svc.Destinations[:1+rng.IntN(6)]
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
		from := netip.AddrPortFrom(client.Addr(), port)
		f := r.ingress(segment(from, vip, "S"))
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

// someLater lets earlier connections move on.
func (r *rig) someLater(rng *rand.Rand, port uint16) {
	for range rng.IntN(3) {
		from := netip.AddrPortFrom(client.Addr(), 1024+uint16(rng.IntN(int(port)-1023)))
		r.ingress(segment(from, vip, []flags{"A", "A", "FA", "R"}[rng.IntN(4)]))
	}
}

func (r *rig) loads(s lvs.Service) []sched.Load {
	var loads []sched.Load
	for _, d := range s.Destinations {
		a, i := r.load(s.Key, d)
		loads = append(loads, sched.Load{Active: a, Inactive: i})
	}
	return loads
}

func reweigh(s lvs.Service, rng *rand.Rand) {
	for i := range s.Destinations {
		s.Destinations[i].Weight = rng.IntN(5) * (1 + rng.IntN(3))
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

func TestThresholds(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 2)
	svc.Destinations[0].Upper = 2
	r.reach(1500, false, svc)
	r.put(svc)
	seen := make(map[netip.AddrPort]int)
	for port := range uint16(10) {
		f := r.ingress(segment(netip.AddrPortFrom(client.Addr(), 2000+port), vip, "S"))
		seen[r.look(f.out).to]++
	}
	if n := seen[svc.Destinations[0].Addr]; n != 2 {
		t.Errorf("a server for two connections got %d of ten", n)
	}
}
