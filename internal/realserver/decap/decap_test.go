package decap

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/realserver"
)

// These tests send made-up packets through the real program by the kernel's
// test-run facility: every byte is known.

var (
	director4, director6 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	own4, own6           = netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("2001:db8::11")
	client4, client6     = netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:7::7")
	vip4, vip6           = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")
)

const port = 6080

var all = realserver.Unwrap{VIPs: []netip.Addr{vip4, vip6}, Outers: []netip.Addr{own4, own6}, IPIP: true, GRE: true, GUE: port}

type rig struct {
	*testing.T
	coll *ebpf.Collection
}

func newRig(t *testing.T, s realserver.Unwrap) rig {
	t.Helper()
	labtest.NeedRoot(t)
	coll, err := load(s)
	labtest.Must(t, err)
	t.Cleanup(coll.Close)
	return rig{t, coll}
}

// run sends a frame and tells what came out, and which counter rose.
func (r rig) run(frame []byte) (out []byte, action uint32, fate string) {
	r.Helper()
	before := r.counts()
	action, out, err := r.coll.Programs[program].Test(frame)
	labtest.Must(r, err)
	for i, f := range r.counts() {
		if n := f.Packets - before[i].Packets; n != 0 {
			if fate != "" || n != 1 {
				r.Errorf("counted twice: %s and %s", fate, f.Name)
			}
			fate = f.Name
		}
	}
	return out, action, fate
}

func (r rig) counts() []realserver.Fate {
	r.Helper()
	list, err := counted(r.coll.Maps[unwrapperMapFates])
	labtest.Must(r, err)
	return list
}

const pass, shot = 0xffffffff, 2

// unwrapped asks for the inner packet, byte for byte.
func (r rig) unwrapped(frame, inner []byte) {
	r.Helper()
	out, action, fate := r.run(frame)
	if fate != "unwrapped" || action != pass {
		r.Fatalf("fate %q, action %d", fate, action)
	}
	if got := out[14:]; !bytes.HasPrefix(got, inner) {
		r.Errorf("inside:\n got %s\nwant %s", hex.Dump(got), hex.Dump(inner))
	}
	want := uint16(0x0800)
	if inner[0]>>4 == 6 {
		want = 0x86dd
	}
	if got := binary.BigEndian.Uint16(out[12:]); got != want {
		r.Errorf("ethertype %#x, want %#x", got, want)
	}
}

// alone asks that nothing was changed.
func (r rig) alone(frame []byte, want string) {
	r.Helper()
	out, action, fate := r.run(frame)
	if fate != want || action != pass || !bytes.Equal(out, frame) {
		r.Errorf("fate %q, want %q; action %d; changed %v", fate, want, action, !bytes.Equal(out, frame))
	}
}

func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	labtest.Must(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...))
	return slices.Clone(b.Bytes())
}

// packet is a TCP segment to a virtual address.
func packet(t testing.TB, to netip.Addr, tos uint8) []byte {
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, ACK: true, Window: 500}
	ip := header(to, tos, layers.IPProtocolTCP)
	labtest.Must(t, tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)))
	return serialize(t, ip, tcp, gopacket.Payload("twenty bytes of data"))
}

func header(to netip.Addr, tos uint8, next layers.IPProtocol) gopacket.SerializableLayer {
	from := map[netip.Addr]netip.Addr{vip4: client4, vip6: client6, own4: director4, own6: director6}[to]
	if !from.IsValid() {
		from = director4
		if to.Is6() {
			from = director6
		}
	}
	if to.Is4() {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: 63, TOS: tos, Protocol: next, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 63, TrafficClass: tos, NextHeader: next, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
}

func next(inner []byte) layers.IPProtocol {
	if inner[0]>>4 == 6 {
		return layers.IPProtocolIPv6
	}
	return layers.IPProtocolIPv4
}

func frame(t testing.TB, outer gopacket.SerializableLayer, behind ...[]byte) []byte {
	kind := layers.EthernetTypeIPv4
	if _, ok := outer.(*layers.IPv6); ok {
		kind = layers.EthernetTypeIPv6
	}
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 9}, DstMAC: make([]byte, 6), EthernetType: kind}
	return serialize(t, eth, outer, gopacket.Payload(bytes.Join(behind, nil)))
}

func ipip(t testing.TB, to netip.Addr, tos uint8, inner []byte) []byte {
	return frame(t, header(to, tos, next(inner)), inner)
}

// gue is the UDP header and GUE's, with options.
func gue(to uint16, hlen byte, flags uint16, options, inner []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, 33000)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(12+len(options)+len(inner)))
	b = append(b, 0, 0, hlen, byte(next(inner)))
	b = binary.BigEndian.AppendUint16(b, flags)
	return append(b, options...)
}

func gre(flags uint16, inner []byte) []byte {
	kind := uint16(0x0800)
	if inner[0]>>4 == 6 {
		kind = 0x86dd
	}
	b := binary.BigEndian.AppendUint16(nil, flags)
	b = binary.BigEndian.AppendUint16(b, kind)
	if flags&0x8000 != 0 {
		b = append(b, 0x12, 0x34, 0, 0)
	}
	return b
}

func TestUnwraps(t *testing.T) {
	r := newRig(t, all)
	for _, outer := range []netip.Addr{own4, own6} {
		for _, to := range []netip.Addr{vip4, vip6} {
			inner := packet(t, to, 0)
			head := func(p layers.IPProtocol) gopacket.SerializableLayer { return header(outer, 0, p) }
			for name, f := range map[string][]byte{
				"ipip":          ipip(t, outer, 0, inner),
				"gue":           frame(t, head(layers.IPProtocolUDP), gue(port, 0, 0, nil, inner), inner),
				"gre":           frame(t, head(layers.IPProtocolGRE), gre(0, inner), inner),
				"gre, summed":   frame(t, head(layers.IPProtocolGRE), gre(0x8000, inner), inner),
				"frame padding": append(ipip(t, outer, 0, inner), make([]byte, 17)...),
			} {
				t.Run(name+" to "+to.String()+" in "+outer.String(), func(t *testing.T) { rig{t, r.coll}.unwrapped(f, inner) })
			}
		}
	}
	// ip6tnl's encapsulation limit.
	inner := packet(t, vip6, 0)
	limit := []byte{byte(next(inner)), 0, 4, 1, 4, 1, 0, 0}
	r.unwrapped(frame(t, header(own6, 0, layers.IPProtocolIPv6Destination), limit, inner), inner)
}

// A sum that the sender left to us is finished, for every length and parity.
func TestRemoteChecksum(t *testing.T) {
	r := newRig(t, all)
	for _, to := range []netip.Addr{vip4, vip6} {
		inner := packet(t, to, 0)
		start := 20
		if to.Is6() {
			start = 40
		}
		at := start + 16
		unfinished := slices.Clone(inner)
		// What is left is the sum of the pseudo header: the finished field, and
		// all that was summed, taken out again.
		rest := slices.Clone(inner[start:])
		rest[16], rest[17] = 0, 0
		sum := uint32(^binary.BigEndian.Uint16(inner[at:])) + uint32(^fold(rest))
		sum = sum&0xffff + sum>>16
		binary.BigEndian.PutUint16(unfinished[at:], uint16(sum&0xffff+sum>>16))
		option := []byte{0x80, 0, 0, 0, 0, byte(start), 0, byte(at)}
		for _, outer := range []netip.Addr{own4, own6} {
			f := frame(t, header(outer, 0, layers.IPProtocolUDP), gue(port, 2, 1, option, unfinished), unfinished)
			r.unwrapped(f, inner)
		}
		option[5] = byte(len(inner) + 1)
		r.alone(frame(t, header(own4, 0, layers.IPProtocolUDP), gue(port, 2, 1, option, unfinished), unfinished), "malformed")
		option[5], option[7] = byte(start), byte(len(inner)-1)
		r.alone(frame(t, header(own4, 0, layers.IPProtocolUDP), gue(port, 2, 1, option, unfinished), unfinished), "malformed")
	}
}

// fold is the Internet sum of b, not complemented.
func fold(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// Figure 4 of RFC 6040: rows inner, columns outer; -1 is a drop.
func TestCongestion(t *testing.T) {
	const none, ect1, ect0, ce = 0, 1, 2, 3
	want := [4][4]int{
		none: {none: none, ect1: none, ect0: none, ce: -1},
		ect1: {none: ect1, ect1: ect1, ect0: ect1, ce: ce},
		ect0: {none: ect0, ect1: ect1, ect0: ect0, ce: ce},
		ce:   {none: ce, ect1: ce, ect0: ce, ce: ce},
	}
	r := newRig(t, all)
	const dscp = 0xb8
	for _, outer := range []netip.Addr{own4, own6} {
		for _, to := range []netip.Addr{vip4, vip6} {
			for in := range uint8(4) {
				for out := range uint8(4) {
					// The outer DSCP is of no interest.
					f := ipip(t, outer, 0x20|out, packet(t, to, dscp|in))
					if w := want[in][out]; w >= 0 {
						r.unwrapped(f, packet(t, to, dscp|uint8(w)))
					} else if _, action, fate := r.run(f); action != shot || fate != "congestion" {
						t.Errorf("inner %d, outer %d: action %d, fate %q", in, out, action, fate)
					}
				}
			}
		}
	}
}

func TestLeavesAlone(t *testing.T) {
	inner := packet(t, vip4, 0)
	inner6 := packet(t, vip6, 0)
	ip := func(change func(*layers.IPv4)) gopacket.SerializableLayer {
		h := header(own4, 0, layers.IPProtocolIPv4).(*layers.IPv4)
		change(h)
		return h
	}
	udp := func(g ...[]byte) []byte { return frame(t, header(own4, 0, layers.IPProtocolUDP), g...) }
	inGRE := func(g ...[]byte) []byte { return frame(t, header(own4, 0, layers.IPProtocolGRE), g...) }
	broken := func(b []byte, at int, to byte) []byte { b = slices.Clone(b); b[at] = to; return b }
	fragment6 := []byte{4, 0, 0, 1, 0, 0, 0, 7}
	for name, c := range map[string]struct {
		frame []byte
		fate  string
	}{
		"no tunnel":            {frame(t, header(own4, 0, layers.IPProtocolTCP), inner[20:]), ""},
		"to another address":   {ipip(t, netip.MustParseAddr("10.0.0.12"), 0, inner), ""},
		"outer options":        {frame(t, ip(func(h *layers.IPv4) { h.Options = []layers.IPv4Option{{OptionType: 1}} }), inner), ""},
		"another UDP port":     {udp(gue(port+1, 0, 0, nil, inner), inner), ""},
		"first fragment":       {frame(t, ip(func(h *layers.IPv4) { h.Flags = layers.IPv4MoreFragments }), inner), "fragment"},
		"later fragment":       {frame(t, ip(func(h *layers.IPv4) { h.FragOffset = 5 }), inner), "fragment"},
		"IPv6 fragment":        {frame(t, header(own6, 0, layers.IPProtocolIPv6Fragment), fragment6, inner), "fragment"},
		"for no virtual one":   {ipip(t, own4, 0, packet(t, netip.MustParseAddr("192.0.2.2"), 0)), "other-address"},
		"a tunnel in a tunnel": {ipip(t, own4, 0, ipip(t, own4, 0, inner)[14:]), "other-address"},
		"outer sum is wrong":   {broken(ipip(t, own4, 0, inner), 14+10, 0xff), "malformed"},
		"inner too long":       {ipip(t, own4, 0, broken(inner, 3, 0xf0)), "malformed"},
		"inner of 4 bytes":     {ipip(t, own4, 0, inner[:4]), "malformed"},
		"inner header length":  {ipip(t, own4, 0, broken(inner, 0, 0x44)), "malformed"},
		"inner 6, said 4":      {broken(ipip(t, own6, 0, inner6), 14+6, 4), "malformed"},
		"inner 6 too long":     {ipip(t, own4, 0, broken(inner6, 4, 1)), "malformed"},
		"inner jumbogram":      {ipip(t, own4, 0, broken(broken(inner6, 4, 0), 5, 0)), "malformed"},
		"outer cut short":      {ipip(t, own4, 0, inner)[:14+30], "malformed"},
		"GUE cut short":        {udp(gue(port, 0, 0, nil, inner)[:10]), "malformed"},
		"GUE length too long":  {udp(broken(gue(port, 0, 0, nil, inner), 4, 9), inner), "malformed"},
		"GUE version 1":        {udp(gue(port, 0x40, 0, nil, inner), inner), "unknown-option"},
		"GUE control":          {udp(gue(port, 0x20, 0, nil, inner), inner), "unknown-option"},
		"GUE option":           {udp(gue(port, 1, 0x8000, make([]byte, 4), inner), inner), "unknown-option"},
		"GUE private option":   {udp(gue(port, 2, 1, make([]byte, 8), inner), inner), "unknown-option"},
		"GUE carries TCP":      {udp(broken(gue(port, 0, 0, nil, inner), 9, 6), inner), "unknown-option"},
		"GRE with a key":       {inGRE(gre(0x2000, inner), make([]byte, 4), inner), "unknown-option"},
		"GRE version 1":        {inGRE(gre(1, inner), inner), "unknown-option"},
		"GRE of Ethernet":      {inGRE(broken(gre(0, inner), 2, 0x65), inner), "unknown-option"},
		"GRE cut short":        {inGRE(gre(0, inner)[:2]), "malformed"},
		"GRE of nothing":       {inGRE(gre(0x8000, inner)[:6]), "malformed"},
	} {
		t.Run(name, func(t *testing.T) { newRig(t, all).alone(c.frame, c.fate) })
	}
}

// What was not asked for is not taken.
func TestTakesOnlyItsMethod(t *testing.T) {
	inner := packet(t, vip4, 0)
	frames := map[string][]byte{
		"ipip": ipip(t, own4, 0, inner),
		"gue":  frame(t, header(own4, 0, layers.IPProtocolUDP), gue(port, 0, 0, nil, inner), inner),
		"gre":  frame(t, header(own4, 0, layers.IPProtocolGRE), gre(0, inner), inner),
	}
	for method, s := range map[string]realserver.Unwrap{"ipip": {IPIP: true}, "gue": {GUE: port}, "gre": {GRE: true}} {
		s.VIPs, s.Outers = all.VIPs, all.Outers
		r := newRig(t, s)
		for name, f := range frames {
			if name == method {
				r.unwrapped(f, inner)
			} else {
				r.alone(f, "")
			}
		}
	}
}

func TestPeers(t *testing.T) {
	s := all
	s.From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/31"), netip.MustParsePrefix("2001:db8::1/128")}
	r := newRig(t, s)
	inner := packet(t, vip4, 0)
	r.unwrapped(ipip(t, own4, 0, inner), inner)
	r.unwrapped(ipip(t, own6, 0, inner), inner)
	for outer, from := range map[netip.Addr]string{own4: "10.0.0.2", own6: "2001:db8::2"} {
		f := ipip(t, outer, 0, inner)
		a := netip.MustParseAddr(from)
		if a.Is4() {
			h := header(outer, 0, layers.IPProtocolIPv4).(*layers.IPv4)
			h.SrcIP = a.AsSlice()
			f = frame(t, h, inner)
		} else {
			copy(f[14+8:], a.AsSlice())
		}
		r.alone(f, "foreign")
	}
}

// Random bytes behind a header that is right up to there, and random changes
// of good packets: nothing but what is in TestUnwraps may be cut, and nothing
// comes out longer than it went in.
func TestHostileBytes(t *testing.T) {
	r := newRig(t, all)
	random := rand.New(rand.NewPCG(1, 2))
	inner := packet(t, vip4, 0)
	seeds := [][]byte{
		ipip(t, own4, 0, inner), ipip(t, own6, 0, inner), ipip(t, own4, 0, packet(t, vip6, 0)),
		frame(t, header(own4, 0, layers.IPProtocolUDP), gue(port, 2, 1, []byte{0x80, 0, 0, 0, 0, 20, 0, 36}, inner), inner),
		frame(t, header(own6, 0, layers.IPProtocolGRE), gre(0x8000, inner), inner),
	}
	cut := 0
	for range 20000 {
		f := slices.Clone(seeds[random.IntN(len(seeds))])
		for range random.IntN(4) {
			f[14+random.IntN(len(f)-14)] = byte(random.Uint32())
		}
		f = f[:14+random.IntN(len(f)-13)]
		if len(f) < 15 {
			continue
		}
		action, out, err := r.coll.Programs[program].Test(f)
		if err != nil {
			continue // too short for the kernel itself
		}
		if len(out) > len(f) || action != pass && action != shot {
			t.Fatalf("%x\nbecame %x, action %d", f, out, action)
		}
		if len(out) < len(f) {
			cut++
		}
	}
	if cut == 0 {
		t.Error("no packet was unwrapped at all")
	}
}

func TestSettingsAreReadBack(t *testing.T) {
	s := all
	s.From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::/0")}
	r := newRig(t, s)
	got, err := read(r.coll.Maps)
	labtest.Must(t, err)
	slices.SortFunc(got.VIPs, netip.Addr.Compare)
	slices.SortFunc(got.Outers, netip.Addr.Compare)
	slices.SortFunc(got.From, netip.Prefix.Compare)
	slices.SortFunc(s.From, netip.Prefix.Compare)
	if !slices.Equal(got.VIPs, s.VIPs) || !slices.Equal(got.Outers, s.Outers) || !slices.Equal(got.From, s.From) ||
		!got.IPIP || !got.GRE || got.GUE != port {
		t.Errorf("got %+v", got)
	}
}

func TestEveryFateIsInTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../../docs/realserver.md")
	labtest.Must(t, err)
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (unwrapped|left alone|dropped) \\|").FindAllSubmatch(page, -1) {
		rows = append(rows, string(m[1])+" "+string(m[2]))
	}
	var names []string
	for _, f := range fates[1:] {
		names = append(names, f.Name+" "+f.Fate)
	}
	if !slices.Equal(rows, names) {
		t.Errorf("documented: %q\nreal: %q", rows, names)
	}
}
