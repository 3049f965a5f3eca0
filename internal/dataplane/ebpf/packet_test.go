package ebpf

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestRequestByMasq(t *testing.T) {
	for name, family := range map[string]struct {
		svc  lvs.Service
		from netip.AddrPort
	}{
		"IPv4": {tcpService(lvs.RR, lvs.Masquerade, 1), client},
		"IPv6": {tcpService6(lvs.RR, lvs.Masquerade, 1), client6},
	} {
		t.Run(name, func(t *testing.T) {
			for _, door := range []string{progIngress, progXDP} {
				r := newRig(t)
				r.reach(1500, false, family.svc)
				r.put(family.svc)
				f := r.through(door, segment(family.from, family.svc.Key.Addr, "S"))
				if f.verdict != "forwarded" {
					t.Fatalf("%s: verdict %q", door, f.verdict)
				}
				s := r.look(f.out)
				if s.to != family.svc.Destinations[0].Addr || s.from != family.from {
					t.Errorf("%s: %s to %s", door, s.from, s.to)
				}
				if s.ttl != 63 || [6]byte(s.dmac) != nextMAC {
					t.Errorf("%s: ttl %d to %s", door, s.ttl, s.dmac)
				}
			}
		})
	}
}

func TestRequestByGateKeepsThePacket(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	for _, door := range []string{progIngress, progXDP} {
		f := r.through(door, segment(client, vip, "S"))
		s := r.look(f.out)
		if s.to != vip || s.from != client || s.ttl != 63 || [6]byte(s.dmac) != nextMAC {
			t.Errorf("%s: %s to %s, ttl %d, link %s", door, s.from, s.to, s.ttl, s.dmac)
		}
	}
}

func TestWhatOpensAConnection(t *testing.T) {
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	for _, tt := range []struct {
		name   string
		packet []byte
		want   string
	}{
		{"SYN", segment(client, vip, "S"), "forwarded"},
		{"SYN with ACK, as IPVS has it", segment(client, vip, "SA"), "forwarded"},
		{"ACK", segment(client, vip, "A"), "not-opening"},
		{"FIN", segment(client, vip, "F"), "not-opening"},
		{"RST", segment(client, vip, "R"), "not-opening"},
		{"SYN with RST", segment(client, vip, "SR"), "not-opening"},
		{"from port 20", segment(netip.AddrPortFrom(client.Addr(), 20), vip, "S"), "not-opening"},
		{"another port", segment(client, netip.AddrPortFrom(vip.Addr(), 81), "S"), "no-service"},
		{"another protocol", datagram(client, vip, "x"), "no-service"},
		{"another address", segment(client, netip.MustParseAddrPort("192.0.2.77:80"), "S"), "not-ours"},
		{"from 127/8", segment(netip.MustParseAddrPort("127.0.0.9:1000"), vip, "S"), "not-ours"},
		{"from multicast", segment(netip.MustParseAddrPort("224.0.0.9:1000"), vip, "S"), "not-ours"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.reach(1500, false, svc)
			r.put(svc)
			f := r.ingress(tt.packet)
			if f.verdict != tt.want {
				t.Errorf("verdict %q, want %q", f.verdict, tt.want)
			}
			opened := len(r.conns()) == 1
			if opened != (tt.want == "forwarded") {
				t.Errorf("connections: %v", r.conns())
			}
		})
	}
}

func TestXDPLeavesToTC(t *testing.T) {
	unresolved := tcpService(lvs.RR, lvs.Masquerade, 1)
	for _, tt := range []struct {
		name    string
		prepare func(*rig)
		packet  []byte
	}{
		{"a next hop without MAC", func(r *rig) { r.put(unresolved) }, segment(client, vip, "S")},
		{"the director itself", func(r *rig) { r.reach(1500, true, unresolved); r.put(unresolved) }, segment(client, vip, "S")},
		{"a hop count that ends", func(r *rig) { r.reach(1500, false, unresolved); r.put(unresolved) },
			segment(client, vip, "S", func(ip *layers.IPv4) { ip.TTL = 1 })},
		{"a packet too big", func(r *rig) { r.reach(40, false, unresolved); r.put(unresolved) }, segment(client, vip, "S")},
		{"nobody to choose", func(r *rig) { r.reach(1500, false); r.put(tcpService(lvs.RR, lvs.Masquerade, 0)) }, segment(client, vip, "S")},
		{"a fragment", func(r *rig) { r.reach(1500, false, unresolved); r.put(unresolved) },
			segment(client, vip, "S", func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.plane.links[loopback] = lvs.Link{Index: loopback, XDPSend: true}
			if err := r.plane.write("ports", uint32(loopback), enginePort{Flags: portXDPSend | portAttached}); err != nil {
				t.Fatal(err)
			}
			tt.prepare(r)
			f := r.xdp(tt.packet)
			if f.action != xdpPass || f.verdict != "" {
				t.Errorf("action %d, verdict %q", f.action, f.verdict)
			}
			if string(f.out) != string(tt.packet) {
				t.Error("the packet was touched")
			}
		})
	}
}

func TestForeignFramesAreNotBalanced(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	frame := segment(client, vip, "S")
	copy(frame, []byte{2, 9, 9, 9, 9, 9}) // another host's, on a promiscuous interface
	for _, door := range []string{progIngress, progXDP} {
		if f := r.through(door, frame); f.verdict == "forwarded" {
			t.Errorf("%s took a frame for another host", door)
		}
	}
}

// An IPv4 header that does not add up is the stack's, on the short road, too.
func TestBrokenHeader(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	broken := func(f []byte) []byte { f[24] ^= 0x55; return f }
	if f := r.ingress(broken(segment(client, vip, "S"))); f.verdict != "malformed" || f.action != tcNext {
		t.Errorf("a SYN: %s", f.verdict)
	}
	r.ingress(segment(client, vip, "S"))
	r.ingress(segment(client, vip, "A"))
	for _, packet := range [][]byte{segment(client, vip, "A"), segment(r.conns()[0].Destination, client, "A")} {
		if f := r.ingress(packet); f.verdict == "malformed" {
			t.Errorf("a whole segment: %s", f.verdict)
		}
		if f := r.ingress(broken(packet)); f.verdict != "malformed" {
			t.Errorf("in tc: %s", f.verdict)
		}
		if f := r.xdp(packet); f.action != xdpPass {
			t.Errorf("in XDP: action %d", f.action)
		}
	}
}

func TestRemovedDestination(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 2)
	r.reach(1500, false, svc)
	r.put(svc)
	first := r.look(r.ingress(segment(client, vip, "S")).out).to
	r.ingress(segment(client, vip, "A"))
	r.put(without(svc, first))
	if f := r.ingress(segment(client, vip, "A")); f.verdict != "destination-gone" || f.action != tcShot {
		t.Errorf("a segment of a removed server's connection: %q", f.verdict)
	}
	if n := len(r.conns()); n != 1 {
		t.Errorf("%d connections; IPVS keeps those of a removed server", n)
	}
	r.put(svc)
	f := r.ingress(segment(client, vip, "A"))
	if f.verdict != "forwarded" || r.look(f.out).to != first {
		t.Errorf("the server came back, its connection did not: %q", f.verdict)
	}
	if a, _ := r.load(svc.Key, lvs.Destination{Addr: first}); a != 1 {
		t.Errorf("active %d after the return, want 1", a)
	}
}

func TestSYNOnAnOldConnection(t *testing.T) {
	for _, tt := range []struct {
		name    string
		before  []flags // after the first SYN
		quiesce bool
		moves   bool
	}{
		{"established", []flags{"A"}, true, false},
		{"half-open, server well", nil, false, false},
		{"half-open, server quiesced", nil, true, true},
		{"closed by reset", []flags{"A", "R"}, false, true},
		{"finished, server well", []flags{"A", "F"}, false, false},
		{"finished, server quiesced", []flags{"A", "F"}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			svc := tcpService(lvs.RR, lvs.DirectRoute, 2)
			r.reach(1500, false, svc)
			r.put(svc)
			r.ingress(segment(client, vip, "S"))
			for _, f := range tt.before {
				r.ingress(segment(client, vip, f))
			}
			was := r.conns()[0].Destination
			if tt.quiesce {
				q := svc.Clone()
				for i := range q.Destinations {
					if q.Destinations[i].Addr == was {
						q.Destinations[i].Weight = 0
					}
				}
				r.put(q)
			}
			r.ingress(segment(client, vip, "S"))
			now := r.conns()
			if len(now) != 1 || (now[0].Destination != was) != tt.moves {
				t.Errorf("was at %s, now %v; moves should be %v", was, now, tt.moves)
			}
		})
	}
}

func without(s lvs.Service, addr netip.AddrPort) lvs.Service {
	s = s.Clone()
	var left []lvs.Destination
	for _, d := range s.Destinations {
		if d.Addr != addr {
			left = append(left, d)
		}
	}
	s.Destinations = left
	return s
}
