package ebpf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// What Linux's own IPVS did, observed on a kernel 6.1: destinations 10.0.1.50,
// .51, .52 were added in this order with the given weights, then connections
// came from clients 10.0.0.150 on or from one client's ports 20000 or 7777 on.
// The numbers are last octets; "-" is an ICMP port unreachable.
var observed = []struct {
	name      string
	scheduler lvs.Scheduler
	flags     uint8
	protocol  lvs.Protocol
	weights   []int
	clients   string
	want      string
}{
	{"rr", lvs.RR, 0, lvs.UDP, []int{1, 1, 1}, "ports 20000", "52 51 50 52 51 50 52 51 50"},
	{"rr, weight 0", lvs.RR, 0, lvs.UDP, []int{1, 0, 5}, "ports 20000", "52 50 52 50 52 50"},
	{"wrr", lvs.WRR, 0, lvs.UDP, []int{5, 3, 2}, "ports 20000", "52 51 50 50 50 51 50 52 51 50 52 51 50 50 50 51 50 52 51 50"},
	{"wrr, divisor", lvs.WRR, 0, lvs.UDP, []int{4, 2, 0}, "ports 20000", "51 50 50 51 50 50 51 50 50 51 50 50"},
	{"wrr 1 4 2", lvs.WRR, 0, lvs.UDP, []int{1, 4, 2}, "ports 20000", "52 51 50 51 51 52 51 52 51 50 51 51 52 51"},
	{"lc", lvs.LC, 0, lvs.TCP, []int{1, 1, 1}, "ports 20000", "52 51 50 52 51 50 52 51 50"},
	{"lc, weights", lvs.LC, 0, lvs.TCP, []int{5, 1, 0}, "ports 20000", "51 50 51 50 51 50"},
	{"wlc", lvs.WLC, 0, lvs.TCP, []int{5, 3, 2}, "ports 20000", "52 51 50 50 51 50 52 50 51 50 52 51 50 50 51 50 52 50 51 50"},
	{"wlc, UDP", lvs.WLC, 0, lvs.UDP, []int{5, 3, 2}, "ports 20000", "52 51 50 50 51 50 52 50 51 50 52 51 50 50 51 50 52 50 51 50"},
	{"sed", lvs.SED, 0, lvs.TCP, []int{5, 3, 2}, "ports 20000", "50 51 50 52 50 51 50 52 51 50 50 51 50 52 50 51 50 52 51 50"},
	{"sed, UDP", lvs.SED, 0, lvs.UDP, []int{5, 3, 2}, "ports 20000", "50 50 50 50 50"},
	{"nq", lvs.NQ, 0, lvs.TCP, []int{5, 3, 2}, "ports 20000", "52 51 50 50 50 51 50 52 51 50 50 51 50 52 50 51 50 52 51 50"},
	{"nq, UDP", lvs.NQ, 0, lvs.UDP, []int{5, 3, 2}, "ports 20000", "52 52 52 52 52"},
	{"fo", lvs.FO, 0, lvs.TCP, []int{2, 5, 5}, "ports 20000", "52 52 52 52 52"},
	{"ovf", lvs.OVF, 0, lvs.TCP, []int{2, 3, 1}, "ports 20000", "51 51 51 51 50 50 50 52 52 - - -"},
	{"sh", lvs.SH, 0, lvs.UDP, []int{1, 1, 1}, "hosts", "50 51 52 52 50 51 50 52 51 52"},
	{"sh, weights", lvs.SH, 0, lvs.UDP, []int{3, 2, 1}, "hosts", "50 51 50 52 51 50 51 50 51 50"},
	{"sh-port", lvs.SH, 2, lvs.UDP, []int{3, 2, 1}, "ports 7777", "51 50 51 50 51 50 50 51 50 51"},
	{"sh, weight 0", lvs.SH, 0, lvs.UDP, []int{1, 0, 1}, "hosts", "50 - 52 52 50 - 50 52 - 52"},
	{"sh-fallback", lvs.SH, 1, lvs.UDP, []int{1, 0, 1}, "hosts", "50 50 52 52 50 50 50 52 50 52"},
	{"mh", lvs.MH, 0, lvs.UDP, []int{1, 1, 1}, "hosts", "51 52 51 50 52 52 52 52 51 52"},
	{"mh, weights", lvs.MH, 0, lvs.UDP, []int{3, 2, 1}, "hosts", "50 51 52 50 51 52 51 51 50 51"},
	{"mh-port", lvs.MH, 2, lvs.UDP, []int{3, 2, 1}, "ports 7777", "50 50 51 50 52 50 51 50 50 51 50 51 51 50 52 50 52 50 50 52"},
}

// Ports of the services those tables were observed on: mh hashes them too.
var observedPort = map[string]uint16{"mh": 1090, "mh, weights": 1091, "mh-port": 1092}

func TestAsObservedOnTheKernel(t *testing.T) {
	for _, o := range observed {
		t.Run(o.name, func(t *testing.T) {
			r := newRig(t)
			port := max(observedPort[o.name], 1000)
			svc := lvs.Service{Scheduler: o.scheduler, SchedFlags: o.flags,
				Key: lvs.ServiceKey{Protocol: o.protocol, Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.10"), port)}}
			for i, w := range o.weights {
				d := lvs.Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(50 + i)}), port), Weight: w}
				svc.Destinations = append([]lvs.Destination{d}, svc.Destinations...)
				r.reach(1500, false, svc)
				r.put(svc) // one at a time, as they were added
				svc = svc.Clone()
			}
			var got []string
			for n := range strings.Fields(o.want) {
				got = append(got, r.chosen(observedClient(o.clients, n), svc.Key))
			}
			if g := strings.Join(got, " "); g != o.want {
				t.Errorf("\n got %s\nwant %s", g, o.want)
			}
		})
	}
}

func observedClient(kind string, n int) netip.AddrPort {
	var first uint16
	if _, err := fmt.Sscanf(kind, "ports %d", &first); err == nil {
		return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.150"), first+uint16(n))
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(150 + n)}), 7777)
}

// chosen is the last octet of the server a new connection goes to.
func (r *rig) chosen(from netip.AddrPort, k lvs.ServiceKey) string {
	r.Helper()
	packet := segment(from, k.Addr, "S")
	if k.Protocol == lvs.UDP {
		packet = datagram(from, k.Addr, "x")
	}
	f := r.ingress(packet)
	if f.verdict == "no-destination" {
		return "-"
	}
	return fmt.Sprint(r.look(f.out).to.Addr().As4()[3])
}

// Draining a server must not move the clients of the others: mh keeps its
// table, and looks further for the drained one's clients if it may.
func TestMaglevKeepsItsTable(t *testing.T) {
	for _, tt := range []struct {
		flags uint8
	}{{0}, {1}} {
		r := newRig(t)
		svc := tcpService(lvs.MH, lvs.Masquerade, 3)
		svc.SchedFlags = tt.flags
		r.reach(1500, false, svc)
		r.put(svc)
		before := r.spread(svc, 60)
		drained := svc.Clone()
		drained.Destinations[1].Weight = 0
		r.put(drained)
		gone := fmt.Sprint(svc.Destinations[1].Addr.Addr().As4()[3])
		for i, now := range r.spread(svc, 60) {
			switch {
			case before[i] != gone && now != before[i]:
				t.Errorf("flags %d: client %d moved from %s to %s", tt.flags, i, before[i], now)
			case before[i] == gone && (now == "-") != (tt.flags == 0) || now == gone:
				t.Errorf("flags %d: client %d of the drained server went to %s", tt.flags, i, now)
			}
		}
	}
}

// spread is where clients go, each with a fresh connection.
func (r *rig) spread(s lvs.Service, clients int) (to []string) {
	for i := range clients {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 7, 0, byte(i)}), 1000)
		to = append(to, r.chosen(from, s.Key))
		r.ingress(segment(from, s.Key.Addr, "A"))
		r.ingress(segment(from, s.Key.Addr, "R"))
	}
	return to
}
