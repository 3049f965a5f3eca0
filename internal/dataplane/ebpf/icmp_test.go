package ebpf

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestErrorsOfTheDirector(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mtu     int
		dests   int
		ttl     uint8
		verdict string
		v4      layers.ICMPv4TypeCode
		v6      layers.ICMPv6TypeCode
		trouble string
	}{
		{"hop count", 1500, 1, 1, "ttl-exceeded", layers.CreateICMPv4TypeCode(11, 0), layers.CreateICMPv6TypeCode(3, 0), ""},
		{"too big", 1280, 1, 64, "too-big", layers.CreateICMPv4TypeCode(3, 4), layers.CreateICMPv6TypeCode(2, 0), ""},
		{"nobody", 1500, 0, 64, "no-destination", layers.CreateICMPv4TypeCode(3, 3), layers.CreateICMPv6TypeCode(1, 4), ""},
		{"no route", 0, 1, 64, "unreachable", layers.CreateICMPv4TypeCode(3, 1), layers.CreateICMPv6TypeCode(1, 3), lvs.NoRoute},
		{"no route, last hop", 0, 1, 1, "unreachable", layers.CreateICMPv4TypeCode(3, 1), layers.CreateICMPv6TypeCode(1, 3), lvs.NoRoute},
		{"no neighbour", 1500, 1, 64, "unreachable", layers.CreateICMPv4TypeCode(3, 1), layers.CreateICMPv6TypeCode(1, 3), lvs.NoNeighbour},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{false: " IPv4", true: " IPv6"}[v6], func(t *testing.T) {
				r := newRig(t)
				svc, from := tcpService(lvs.RR, lvs.Masquerade, tt.dests), client
				if v6 {
					svc, from = tcpService6(lvs.RR, lvs.Masquerade, tt.dests), client6
				}
				r.reach(tt.mtu, false, svc)
				r.inTrouble(tt.trouble)
				r.put(svc)
				packet := long(from, svc.Key.Addr, tt.ttl)
				f := r.ingress(packet)
				if f.verdict != tt.verdict || f.action != tcRedirect {
					t.Fatalf("verdict %q, action %d", f.verdict, f.action)
				}
				s := r.look(f.out)
				if s.from.Addr() != svc.Key.Addr.Addr() || s.to.Addr() != from.Addr() {
					t.Errorf("the error goes from %s to %s", s.from, s.to)
				}
				if tt.verdict == "too-big" || tt.trouble == lvs.NoNeighbour {
					packet = long(from, svc.Key.Addr, tt.ttl-1) // the hop was taken off before
				}
				checkError(t, s.pkt, tt.v4, tt.v6, v6, packet, tt.mtu)
			})
		}
	}
}

// inTrouble gives all paths the same trouble.
func (r *rig) inTrouble(trouble string) {
	for a, p := range r.plane.paths {
		p.MAC, p.Trouble = [6]byte{}, trouble
		switch trouble {
		case "":
			continue
		case lvs.NoRoute:
			p = lvs.Path{Trouble: trouble}
		}
		r.plane.paths[a] = p
	}
}

// TestLaterFragmentsOfARefusedOne: the parts of a datagram share one fate, also if
// the first was refused.
func TestLaterFragmentsOfARefusedOne(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	r.reach(1500, false, svc)
	r.inTrouble(lvs.NoNeighbour)
	r.put(svc)
	first := r.ingress(segment(client, vip, "S", func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }))
	later := r.ingress(segment(client, vip, "S", func(ip *layers.IPv4) { ip.FragOffset = 9 }))
	if first.verdict != "unreachable" || later.verdict != "unreachable" || later.action != tcShot {
		t.Errorf("first %q, later %q with action %d", first.verdict, later.verdict, later.action)
	}
}

// long is a SYN of 1,400 bytes of IP.
func long(from, to netip.AddrPort, ttl uint8) []byte {
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), SYN: true}
	head := 40
	if from.Addr().Is6() {
		head = 60
	}
	body := make([]byte, 1400-head)
	for i := range body {
		body[i] = byte(i*7 + 1) // zeros would hide what a checksum leaves out
	}
	frame := build(from, to, layers.IPProtocolTCP, tcp, body, func(ip *layers.IPv4) { ip.TTL = ttl })
	if from.Addr().Is6() {
		frame[14+7] = ttl
	}
	return frame
}

func checkError(t *testing.T, pkt gopacket.Packet, v4 layers.ICMPv4TypeCode, v6 layers.ICMPv6TypeCode, six bool, packet []byte, mtu int) {
	t.Helper()
	if !six {
		icmp := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if icmp.TypeCode != v4 {
			t.Errorf("ICMP %s, want %s", icmp.TypeCode, v4)
		}
		if v4.Code() == 4 && icmp.Seq != uint16(mtu) {
			t.Errorf("next hop's MTU %d, want %d", icmp.Seq, mtu)
		}
		if quoted := icmp.Payload; len(quoted) != 548 || !bytes.Equal(quoted, packet[14:14+548]) {
			t.Errorf("%d bytes quoted, and not as they came", len(quoted))
		}
		return
	}
	icmp := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if icmp.TypeCode != v6 {
		t.Errorf("ICMPv6 %s, want %s", icmp.TypeCode, v6)
	}
	word := icmp.Payload[:4]
	if v6.Type() == 2 && int(word[2])<<8|int(word[3]) != mtu {
		t.Errorf("MTU %v, want %d", word, mtu)
	}
	if quoted := icmp.Payload[4:]; len(quoted) != 1232 || !bytes.Equal(quoted, packet[14:14+1232]) {
		t.Errorf("%d bytes quoted, and not as they came", len(quoted))
	}
}

// TestUnfinishedChecksumIsQuotedRight: a quoted packet whose checksum is left
// to the device holds the plain pseudo-header sum; the error's own checksum
// must be right once the device has finished the quoted one.
func TestUnfinishedChecksumIsQuotedRight(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 0)
	r.put(svc)
	packet := segment(client, vip, "S")
	seed := pseudo(packet)
	packet[14+20+16], packet[14+20+17] = byte(seed>>8), byte(seed)
	f := r.ingress(packet)
	if f.verdict != "no-destination" {
		t.Fatalf("verdict %q", f.verdict)
	}
	// What the device does: the complement of the sum from the TCP header on.
	tcp := f.out[14+28+20:]
	sum := ^fold(tcp)
	tcp[16], tcp[17] = byte(sum>>8), byte(sum)
	if rest := fold(f.out[14+20:]); rest != 0xffff {
		t.Errorf("the error sums up to %#x", rest)
	}
}

func pseudo(frame []byte) uint16 {
	ip := frame[14:]
	b := append([]byte{}, ip[12:20]...)
	n := int(ip[2])<<8 + int(ip[3]) - 20
	return fold(append(b, 0, ip[9], byte(n>>8), byte(n)))
}

func fold(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// TestNoErrorsWithoutEnd: a processor that has sent its thousand errors of the
// second sends no more.
func TestNoErrorsWithoutEnd(t *testing.T) {
	r := newRig(t)
	r.put(tcpService(lvs.RR, lvs.Masquerade, 0))
	for _, tt := range []struct {
		sent uint32
		want string
	}{{999, "no-destination"}, {1000, "icmp-limited"}} {
		got := ""
		for range 5 { // the second may turn between writing and asking
			r.haveSent(tt.sent)
			if got = r.ingress(segment(client, vip, "S")).verdict; got == tt.want {
				break
			}
		}
		if got != tt.want {
			t.Errorf("after %d errors in this second: %q, want %q", tt.sent, got, tt.want)
		}
	}
}

// haveSent makes every processor believe that it sent so many errors in this
// second of the engine's (2^30 ns).
func (r *rig) haveSent(errors uint32) {
	r.Helper()
	budget := struct{ Second, Used uint32 }{ticksNow() >> 6, errors}
	all := make([]struct{ Second, Used uint32 }, ebpf.MustPossibleCPU())
	for i := range all {
		all[i] = budget
	}
	if err := r.plane.engine.maps["icmp_budgets"].Put(uint32(0), all); err != nil {
		r.Fatal(err)
	}
}

func TestErrorAboutAnAnswerGoesToTheServer(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, method := range []lvs.Forwarding{lvs.Masquerade, lvs.DirectRoute} {
			t.Run(method.String()+map[bool]string{false: " IPv4", true: " IPv6"}[v6], func(t *testing.T) {
				r := newRig(t)
				svc, from, router := tcpService(lvs.RR, method, 1), client, netip.MustParseAddr("10.0.0.1")
				if v6 {
					svc, from, router = tcpService6(lvs.RR, method, 1), client6, netip.MustParseAddr("2001:db8::1")
				}
				r.reach(1500, false, svc)
				r.put(svc)
				r.ingress(segment(from, svc.Key.Addr, "S"))
				f := r.ingress(icmpError(router, svc.Key.Addr.Addr(), segment(svc.Key.Addr, from, "SA")))
				if f.verdict != "icmp-forwarded" {
					t.Fatalf("verdict %q", f.verdict)
				}
				s, server := r.look(f.out), svc.Destinations[0].Addr
				quoted := innerOf(t, s.pkt)
				wantTo, wantFrom := server.Addr(), server
				if method == lvs.DirectRoute {
					wantTo, wantFrom = svc.Key.Addr.Addr(), svc.Key.Addr
				}
				if s.to.Addr() != wantTo || s.from.Addr() != router || s.ttl != 63 {
					t.Errorf("from %s to %s, ttl %d", s.from, s.to, s.ttl)
				}
				if quoted.from != wantFrom || quoted.to != from {
					t.Errorf("quoted %s to %s, want from %s", quoted.from, quoted.to, wantFrom)
				}
			})
		}
	}
}

func TestErrorOfTheDirectorsOwnServer(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		r := newRig(t)
		svc, from := tcpService(lvs.RR, lvs.Masquerade, 1), client
		if v6 {
			svc, from = tcpService6(lvs.RR, lvs.Masquerade, 1), client6
		}
		r.reach(1500, true, svc)
		r.put(svc)
		r.ingress(segment(from, svc.Key.Addr, "S"))
		server := svc.Destinations[0].Addr
		f := r.egress(icmpError(server.Addr(), from.Addr(), segment(from, server, "S")))
		if f.verdict != "icmp-forwarded" || f.action != tcNext {
			t.Fatalf("verdict %q, action %d", f.verdict, f.action)
		}
		s := r.look(f.out)
		quoted := innerOf(t, s.pkt)
		if s.from.Addr() != svc.Key.Addr.Addr() || quoted.to != svc.Key.Addr || quoted.from != from {
			t.Errorf("from %s, quoted %s to %s", s.from, quoted.from, quoted.to)
		}
	}
}

func TestErrorAboutNothingKnownPasses(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	packet := icmpError(netip.MustParseAddr("10.0.0.1"), vip.Addr(), segment(vip, client, "SA"))
	f := r.ingress(packet)
	if f.verdict != "not-ours" || f.action != tcNext || !bytes.Equal(f.out, packet) {
		t.Errorf("verdict %q, action %d", f.verdict, f.action)
	}
}

// icmpError quotes a packet in a "host unreachable" of a router.
func icmpError(router, to netip.Addr, about []byte) []byte {
	quoted := gopacket.Payload(about[14:])
	eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	var err error
	if router.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: router.AsSlice(), DstIP: to.AsSlice()}
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)}
		err = gopacket.SerializeLayers(b, opts, eth, ip, icmp, quoted)
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: router.AsSlice(), DstIP: to.AsSlice()}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(1, 3)}
		icmp.SetNetworkLayerForChecksum(ip)
		err = gopacket.SerializeLayers(b, opts, eth, ip, icmp, gopacket.Payload(append([]byte{0, 0, 0, 0}, quoted...)))
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// innerOf reads the packet an ICMP error quotes.
func innerOf(t *testing.T, pkt gopacket.Packet) (s seen) {
	t.Helper()
	var raw []byte
	first := layers.LayerTypeIPv4
	if icmp, ok := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		raw = icmp.Payload
	} else {
		raw, first = pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6).Payload[4:], layers.LayerTypeIPv6
	}
	inner := gopacket.NewPacket(raw, first, gopacket.Default)
	src, _ := netip.AddrFromSlice(inner.NetworkLayer().NetworkFlow().Src().Raw())
	dst, _ := netip.AddrFromSlice(inner.NetworkLayer().NetworkFlow().Dst().Raw())
	tcp := inner.TransportLayer().(*layers.TCP)
	if v4, ok := inner.NetworkLayer().(*layers.IPv4); ok && fold(v4.Contents) != 0xffff {
		t.Error("the quoted IP header's checksum is wrong")
	}
	s.from, s.to = netip.AddrPortFrom(src, uint16(tcp.SrcPort)), netip.AddrPortFrom(dst, uint16(tcp.DstPort))
	return s
}
