package ebpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lvs"
)

// encapped is a service whose only server is reached by a tunnel of some type.
func (r *rig) encapped(key lvs.ServiceKey, server netip.AddrPort, e lvs.Encap) {
	r.Helper()
	svc := r.tunnelled(key.Addr, server, 1500)
	if err := r.plane.Drop(r.Context(), svc.Key); err != nil {
		r.Fatal(err)
	}
	svc.Key = key
	svc.Destinations[0].Encap = e
	r.put(svc)
}

var encaps = []lvs.Encap{
	{Type: lvs.GUE, Port: 6080},
	{Type: lvs.GUE, Port: 6080, Checksum: lvs.Checksum},
	{Type: lvs.GUE, Port: 6080, Checksum: lvs.RemoteChecksum},
	{Type: lvs.GRE},
	{Type: lvs.GRE, Checksum: lvs.Checksum},
}

// What is between the outer IP header and the inner packet, and its checksum,
// which is added up here over every byte.
func TestEncap(t *testing.T) {
	for _, mix := range []struct {
		name     string
		from, to netip.AddrPort
		server   netip.AddrPort
	}{
		{"IPv4 in IPv4", client, vip, server4}, {"IPv6 in IPv6", client6, vip6, server6},
		{"IPv4 in IPv6", client, vip, server6}, {"IPv6 in IPv4", client6, vip6, server4},
	} {
		for _, e := range encaps {
			for name, packet := range map[string][]byte{
				"TCP":               segment(mix.from, mix.to, "S"),
				"UDP of odd length": datagram(mix.from, mix.to, "hello"),
				"UDP of 1,400":      datagram(mix.from, mix.to, strings.Repeat("wasser", 226)),
				"UDP without a sum": unsummed(datagram(mix.from, mix.to, strings.Repeat("wasser", 200))),
				"UDP cut short":     shortened(datagram(mix.from, mix.to, "hello, world")),
				"IP options":        segment(mix.from, mix.to, "S", withOptions),
			} {
				for _, door := range []string{progIngress, progXDP} {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", mix.name, e.Flags(), name, door), func(t *testing.T) {
						r := newRigOver(t, false)
						r.encapped(lvs.ServiceKey{Protocol: protocolOf(packet), Addr: mix.to}, mix.server, e)
						f := r.through(door, packet)
						if f.verdict != "forwarded" {
							t.Fatalf("verdict %q", f.verdict)
						}
						r.checkEncap(f.out, e, mix.from.Addr().Is6(), untouched(packet))
					})
				}
			}
		}
	}
}

func protocolOf(frame []byte) lvs.Protocol {
	if frame[14]>>4 == 6 {
		return lvs.Protocol(frame[20])
	}
	return lvs.Protocol(frame[23])
}

func unsummed(frame []byte) []byte {
	at := 14 + 20
	if frame[14]>>4 == 6 {
		at = 14 + 40
	}
	clear(frame[at+6 : at+8])
	return frame
}

// shortened says in the UDP header that the datagram ends before the packet.
func shortened(frame []byte) []byte {
	at := 14 + 20
	if frame[14]>>4 == 6 {
		at = 14 + 40
	}
	binary.BigEndian.PutUint16(frame[at+4:], 12)
	return frame
}

func withOptions(ip *layers.IPv4) { ip.Options = []layers.IPv4Option{{OptionType: 1}} }

// checkEncap takes a tunnel packet apart by hand.
func (r *rig) checkEncap(frame []byte, e lvs.Encap, inner6 bool, want []byte) {
	r.Helper()
	outer := frame[14:]
	head, protocol, ends := 20, outer[9], outer[12:20]
	if outer[0]>>4 == 6 {
		head, protocol, ends = 40, outer[6], outer[8:40]
	} else if fold(outer[:20]) != 0xffff {
		r.Error("the outer header's checksum is wrong")
	}
	rest := outer[head:]
	size := map[lvs.TunnelType]int{lvs.GUE: 12, lvs.GRE: 4}[e.Type]
	if e.Type == lvs.GRE && e.Checksum != lvs.NoChecksum {
		size = 8
	}
	length := len(want) + size
	if outer[0]>>4 == 4 && int(binary.BigEndian.Uint16(outer[2:])) != head+length || outer[0]>>4 == 6 && int(binary.BigEndian.Uint16(outer[4:])) != length {
		r.Errorf("the outer header's length: % x", outer[:head])
	}
	body := rest[:length]
	if !bytes.Equal(body[size:], want) {
		r.Errorf("the inner packet was changed beyond its hop count\n got %x\nwant %x", body[size:], want)
	}
	if e.Type == lvs.GRE {
		r.checkGRE(protocol, body, e, inner6)
		return
	}
	if protocol != 17 {
		r.Errorf("protocol %d", protocol)
	}
	next := byte(4)
	if inner6 {
		next = 41
	}
	if !bytes.Equal(body[8:12], []byte{0, next, 0, 0}) {
		r.Errorf("GUE header % x", body[8:12])
	}
	source := binary.BigEndian.Uint16(body)
	if source < 32768 || source >= 60999 {
		r.Errorf("source port %d", source)
	}
	if binary.BigEndian.Uint16(body[2:]) != e.Port || int(binary.BigEndian.Uint16(body[4:])) != length {
		r.Errorf("UDP header % x", body[:8])
	}
	check := binary.BigEndian.Uint16(body[6:])
	if e.Checksum == lvs.NoChecksum {
		if check != 0 {
			r.Errorf("checksum %#x, want none", check)
		}
		return
	}
	whole := append(append(append([]byte{}, ends...), 0, 17, byte(length>>8), byte(length)), body...)
	if check == 0 || fold(whole) != 0xffff {
		r.Errorf("checksum %#x, the sum is %#x", check, fold(whole))
	}
}

func (r *rig) checkGRE(protocol byte, body []byte, e lvs.Encap, inner6 bool) {
	r.Helper()
	want := []byte{0, 0, 0x08, 0x00}
	if inner6 {
		want = []byte{0, 0, 0x86, 0xdd}
	}
	if e.Checksum != lvs.NoChecksum {
		want[0] = 0x80
	}
	if protocol != 47 || !bytes.Equal(body[:4], want) {
		r.Errorf("protocol %d, GRE header % x, want % x", protocol, body[:4], want)
	}
	if e.Checksum != lvs.NoChecksum && (fold(body) != 0xffff || body[6] != 0 || body[7] != 0) {
		r.Errorf("GRE header % x, the sum is %#x", body[:8], fold(body))
	}
}

// A way too narrow for the least a tunnel must carry carries nothing, and no
// size is named that would not do either.
func TestEncapOnANarrowWay(t *testing.T) {
	for _, tt := range []struct {
		server netip.AddrPort
		mtu    int
		want   string
	}{
		{server6, 1280 + 52 - 1, "too-big"}, {server6, 1280 + 52, "forwarded"},
		{server4, 68 + 32 - 1, "too-big"}, {server4, 68 + 32, "forwarded"},
	} {
		r := newRig(t)
		r.encapped(lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip}, tt.server, encaps[0])
		path := r.plane.paths[tt.server.Addr()]
		path.MTU = tt.mtu
		r.plane.paths[tt.server.Addr()] = path
		if err := r.plane.writeHop(tt.server.Addr()); err != nil {
			t.Fatal(err)
		}
		f := r.ingress(segment(client, vip, "S"))
		if f.verdict != tt.want || tt.want == "too-big" && f.action != tcShot {
			t.Errorf("MTU %d to %s: %q, action %d", tt.mtu, tt.server, f.verdict, f.action)
		}
	}
}

func TestEncapIsRestored(t *testing.T) {
	for _, e := range encaps {
		d := lvs.Destination{Addr: server4, Forward: lvs.Tunnel, Weight: 1, Encap: e}
		k := lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip}
		if got := lvsDestination(destination(k, d, 1, 1, lvs.Path{}), 1); got != d {
			t.Errorf("%+v became %+v", d, got)
		}
	}
}

// A size some router named counts until its time is over, in both doors.
func TestLearnedMTU(t *testing.T) {
	for _, tt := range []struct {
		left int32 // ticks
		want string
	}{{100, "too-big"}, {-1, "forwarded"}} {
		r := newRig(t)
		r.encapped(lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip}, server4, lvs.Encap{})
		hop := r.plane.hops.byAddr[server4.Addr()]
		n := r.plane.hops.written[hop]
		n.LearnedMtu, n.LearnedUntil = 1000, uint32(int32(ticksNow())+tt.left)
		if err := r.plane.write("nexthops", hop, n); err != nil {
			t.Fatal(err)
		}
		if f := r.xdp(long(client, vip, 64)); (f.action == xdpPass) != (tt.want == "too-big") {
			t.Errorf("%d ticks left: XDP did %d", tt.left, f.action)
		}
		if f := r.ingress(long(client, vip, 64)); f.verdict != tt.want {
			t.Errorf("%d ticks left: %q, want %q", tt.left, f.verdict, tt.want)
		}
	}
}
