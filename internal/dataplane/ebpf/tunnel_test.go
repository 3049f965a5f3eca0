package ebpf

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lvs"
)

var (
	own4    = netip.MustParseAddr("10.1.0.254")
	own6    = netip.MustParseAddr("2001:db8:2::fe")
	server4 = netip.MustParseAddrPort("10.1.0.1:80")
	server6 = netip.MustParseAddrPort("[2001:db8:2::1]:80")
)

// tunnelled is a service whose only server is reached by ipip, of either family.
func (r *rig) tunnelled(key netip.AddrPort, server netip.AddrPort, mtu int) lvs.Service {
	r.Helper()
	svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: key}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: server, Forward: lvs.Tunnel, Weight: 1}}}
	r.reach(mtu, false, svc)
	p := r.plane.paths[server.Addr()]
	p.From = own4
	if server.Addr().Is6() {
		p.From = own6
	}
	r.plane.paths[server.Addr()] = p
	r.put(svc)
	return svc
}

func TestTunnel(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to netip.AddrPort
		server   netip.AddrPort
		size     int
		next     layers.IPProtocol
	}{
		{"IPv4 in IPv4", client, vip, server4, 20, layers.IPProtocolIPv4},
		{"IPv6 in IPv6", client6, vip6, server6, 40, layers.IPProtocolIPv6},
		{"IPv4 in IPv6", client, vip, server6, 40, layers.IPProtocolIPv4},
		{"IPv6 in IPv4", client6, vip6, server4, 20, layers.IPProtocolIPv6},
	} {
		for _, door := range []string{progIngress, progXDP} {
			t.Run(tt.name+" "+door, func(t *testing.T) {
				r := newRig(t)
				r.tunnelled(tt.to, tt.server, 1500)
				packet := segment(tt.from, tt.to, "S")
				f := r.through(door, packet)
				if f.verdict != "forwarded" {
					t.Fatalf("verdict %q", f.verdict)
				}
				outer, next := r.outer(f.out)
				if outer.from.Addr() != sourceFor(tt.server) || outer.to.Addr() != tt.server.Addr() || outer.ttl != 63 {
					t.Errorf("outer header from %s to %s, hop count %d", outer.from.Addr(), outer.to.Addr(), outer.ttl)
				}
				if next != tt.next {
					t.Errorf("outer protocol %s, want %s", next, tt.next)
				}
				if [6]byte(outer.dmac) != nextMAC {
					t.Errorf("to link address %s", outer.dmac)
				}
				want := untouched(packet)
				if got := f.out[14+tt.size:]; !bytes.Equal(got[:len(want)], want) {
					t.Errorf("the inner packet was changed beyond its hop count\n got %x\nwant %x", got, want)
				}
			})
		}
	}
}

func sourceFor(server netip.AddrPort) netip.Addr {
	if server.Addr().Is6() {
		return own6
	}
	return own4
}

// untouched is the IP packet of a frame with one hop less.
func untouched(frame []byte) []byte {
	ip := bytes.Clone(frame[14:])
	if ip[0]>>4 == 6 {
		ip[7]--
		return ip[:40+int(ip[4])<<8+int(ip[5])]
	}
	ip[8]--
	ip[10], ip[11] = 0, 0
	sum := ^fold(ip[:ip[0]&15*4])
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	return ip[:int(ip[2])<<8+int(ip[3])]
}

// outer reads the first IP header of a frame and verifies its checksum.
func (r *rig) outer(frame []byte) (seen, layers.IPProtocol) {
	r.Helper()
	pkt := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	s := seen{dmac: pkt.Layer(layers.LayerTypeEthernet).(*layers.Ethernet).DstMAC}
	switch frame[14] >> 4 {
	case 4:
		ip := pkt.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if fold(frame[14:34]) != 0xffff {
			r.Error("the outer header's checksum is wrong")
		}
		s.ttl = ip.TTL
		s.from, s.to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip.SrcIP)), 0), netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip.DstIP)), 0)
		return s, ip.Protocol
	default:
		ip := pkt.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		s.ttl = ip.HopLimit
		s.from, s.to = netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip.SrcIP)), 0), netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip.DstIP)), 0)
		return s, ip.NextHeader
	}
}

// The outer header's DF, identification, DSCP and ECN follow the inner one.
func TestTunnelOuterHeader(t *testing.T) {
	for _, tt := range []struct {
		name      string
		tos       uint8
		df        bool
		outerTOS  uint8
		outerFlag layers.IPv4Flag
	}{
		{"DF is kept", 0, true, 0, layers.IPv4DontFragment},
		{"no DF", 0, false, 0, 0},
		{"DSCP and ECT(0) are kept", 0xb8 | 2, true, 0xb8 | 2, layers.IPv4DontFragment},
		{"congestion experienced becomes ECT(0)", 0xb8 | 3, true, 0xb8 | 2, layers.IPv4DontFragment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.tunnelled(vip, server4, 1500)
			f := r.ingress(segment(client, vip, "S", func(ip *layers.IPv4) {
				ip.TOS = tt.tos
				if !tt.df {
					ip.Flags = 0
				}
			}))
			pkt := gopacket.NewPacket(f.out, layers.LayerTypeEthernet, gopacket.Default)
			ip := pkt.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
			if ip.TOS != tt.outerTOS || ip.Flags != tt.outerFlag || tt.df != (ip.Id == 0) {
				t.Errorf("tos %#x, flags %s, id %d", ip.TOS, ip.Flags, ip.Id)
			}
		})
	}
}

func TestTunnelTakesFromTheMTU(t *testing.T) {
	r := newRig(t)
	r.tunnelled(vip, server4, 1419) // the packet has 1,400 bytes
	f := r.ingress(long(client, vip, 64))
	if f.verdict != "too-big" {
		t.Fatalf("verdict %q", f.verdict)
	}
	icmp := r.look(f.out).pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if icmp.Seq != 1399 {
		t.Errorf("the client is told %d, want 1399", icmp.Seq)
	}
	r.plane.hops.written = make(map[uint32]engineNexthop)
	r.plane.paths[server4.Addr()] = lvs.Path{Link: loopback, Via: server4.Addr(), MAC: nextMAC, MTU: 1420, From: own4}
	if err := r.plane.writeHop(server4.Addr()); err != nil {
		t.Fatal(err)
	}
	if f := r.ingress(long(client, vip, 64)); f.verdict != "forwarded" {
		t.Errorf("one byte more of MTU: %q", f.verdict)
	}
}

// Without a source address nothing is sent rather than something wrong.
func TestTunnelWaitsForItsWay(t *testing.T) {
	r := newRig(t)
	svc := r.tunnelled(vip, server4, 1500)
	p := r.plane.paths[server4.Addr()]
	p.From = netip.Addr{}
	r.plane.paths[server4.Addr()] = p
	if err := r.plane.writeHop(svc.Destinations[0].Addr.Addr()); err != nil {
		t.Fatal(err)
	}
	if f := r.ingress(segment(client, vip, "S")); f.verdict != "no-route" {
		t.Errorf("verdict %q", f.verdict)
	}
}
