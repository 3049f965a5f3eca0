package ebpf

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lvs"
)

// ipsecService has one real server, whose IKE daemon listens at the port.
func ipsecService(f lvs.Forwarding, v6 bool, port uint16) lvs.Service {
	svc := tcpService(lvs.RR, f, 1)
	svc.Destinations[0].Addr = netip.AddrPortFrom(netip.MustParseAddr("10.2.0.1"), port)
	if v6 {
		svc = tcpService6(lvs.RR, f, 1)
		svc.Destinations[0].Addr = netip.AddrPortFrom(svc.Destinations[0].Addr.Addr(), port)
	}
	svc.Key = lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.AddrPortFrom(svc.Key.Addr.Addr(), 500)}
	return svc
}

// esp is an ESP packet; what it holds is noise, and no checksum is in it.
func esp(from, to netip.Addr, n int) []byte {
	l4 := append([]byte{0, 0, 16, 1, 0, 0, 0, 1}, bytes.Repeat([]byte{0x5a}, n)...)
	return raw(netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0), layers.IPProtocolESP, l4)
}

// signed is an ESP packet behind an AH header.
func signed(from, to netip.Addr, n int) []byte {
	l4 := append([]byte{50, 4, 22: 0, 23: 0}, bytes.Repeat([]byte{0x5a}, 8+n)...)
	return raw(netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0), layers.IPProtocolAH, l4)
}

func ipsecPair(from, to netip.Addr) [][]byte {
	return [][]byte{esp(from, to, 40), signed(from, to, 40)}
}

func eachIPsec(t *testing.T, do func(t *testing.T, v6 bool, client netip.Addr, door string)) {
	for _, v6 := range []bool{false, true} {
		for _, door := range []string{progIngress, progXDP} {
			a, name := client.Addr(), " IPv4"
			if v6 {
				a, name = client6.Addr(), " IPv6"
			}
			t.Run(door+name, func(t *testing.T) { do(t, v6, a, door) })
		}
	}
}

// Requests go where the keys were agreed on, answers come from the service's
// address, and nothing but one address and the hop count changes.
func TestIPsecTravelsWithItsKeys(t *testing.T) {
	eachIPsec(t, func(t *testing.T, v6 bool, from netip.Addr, door string) {
		r := newRig(t)
		svc := ipsecService(lvs.Masquerade, v6, 500)
		r.reach(1500, false, svc)
		r.put(svc)
		vip, real := svc.Key.Addr.Addr(), svc.Destinations[0].Addr.Addr()
		for _, p := range ipsecPair(from, vip) {
			if f := r.through(door, p); f.verdict != "" && f.verdict != "no-service" || f.action != pass(door) {
				t.Errorf("before any keys: %q, action %d", f.verdict, f.action)
			}
		}
		if len(r.conns()) != 0 {
			t.Fatal("a packet without keys opened a connection")
		}
		r.through(door, datagram(netip.AddrPortFrom(from, 500), svc.Key.Addr, "keys"))
		for i, p := range ipsecPair(from, vip) {
			f := r.through(door, p)
			if f.verdict != "forwarded" || !bytes.Equal(f.out[14:], lessHop(ipsecPair(from, real)[i])[14:]) {
				t.Errorf("request: %q\n%x", f.verdict, f.out)
			}
			if f := r.through(door, ipsecPair(from.Next(), vip)[i]); f.verdict == "forwarded" {
				t.Error("another client's was forwarded")
			}
			if f := r.through(door, ipsecPair(real.Next(), from)[i]); f.verdict == "replied" {
				t.Error("another server's was taken for an answer")
			}
		}
		if c := r.conns(); len(c) != 1 || c[0].Protocol != lvs.UDP {
			t.Errorf("connections %v", c)
		}
		totals, err := r.plane.Totals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := totals.Services[svc.Key]; s.Connections != 1 || s.InPackets != 3 {
			t.Errorf("counted %+v", s)
		}
	})
}

// pass is what a door says of a packet it leaves alone.
func pass(door string) uint32 {
	if door == progXDP {
		return xdpPass
	}
	return tcNext
}

// lessHop is the packet one hop further.
func lessHop(p []byte) []byte {
	p = bytes.Clone(p)
	if p[14]>>4 == 6 {
		p[14+7]--
		return p
	}
	p[14+8]--
	clear(p[24:26])
	binary.BigEndian.PutUint16(p[24:], ^fold(p[14:34]))
	return p
}

// The answers: rewritten for masq whether the answer passes as a whole or in
// parts, each of which finds its connection itself.
func TestIPsecLeavesTheDirector(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		r := newRig(t)
		svc, from := ipsecService(lvs.Masquerade, v6, 500), client.Addr()
		if v6 {
			from = client6.Addr()
		}
		r.reach(1500, true, svc)
		r.put(svc)
		vip, real := svc.Key.Addr.Addr(), svc.Destinations[0].Addr.Addr()
		r.ingress(datagram(netip.AddrPortFrom(from, 500), svc.Key.Addr, "keys"))
		for i, p := range ipsecPair(real, from) {
			f := r.egress(p)
			if f.verdict != "replied-local" || !bytes.Equal(f.out[14:], ipsecPair(vip, from)[i][14:]) {
				t.Errorf("answer: %q\n%x", f.verdict, f.out)
			}
		}
		if v6 {
			continue
		}
		later := esp(real, from, 80)
		later[14+7] = 5 // its place in the whole
		if f := r.egress(later); f.verdict != "replied-local" || !bytes.Equal(f.out[26:30], vip.AsSlice()) {
			t.Errorf("a later part: %q\n%x", f.verdict, f.out)
		}
	}
}

// Where the real server's keys are at another port, requests find the
// connection and keep their bytes; answers find none, as in IPVS.
func TestIPsecHasNoPorts(t *testing.T) {
	r := newRig(t)
	svc := ipsecService(lvs.Masquerade, false, 4500)
	r.reach(1500, false, svc)
	r.put(svc)
	vip, real := svc.Key.Addr.Addr(), svc.Destinations[0].Addr.Addr()
	r.ingress(datagram(netip.AddrPortFrom(client.Addr(), 500), svc.Key.Addr, "keys"))
	if f := r.ingress(esp(client.Addr(), vip, 9)); f.verdict != "forwarded" || !bytes.Equal(f.out[34:], esp(client.Addr(), real, 9)[34:]) {
		t.Errorf("%q\n%x", f.verdict, f.out)
	}
	if f := r.ingress(esp(real, client.Addr(), 9)); f.verdict != "not-ours" || f.action != tcNext {
		t.Errorf("an answer: %q", f.verdict)
	}
}
