package ebpf

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// `make fuzz` sends ten million; the ordinary tests a hundredth of that.
var fuzzPackets = flag.Int("fuzzpackets", 100_000, "mutilated packets to send through the programs")

// TestFuzzPackets sends truncated, mutated and random packets through all
// three doors. Whatever they open, the counts must agree with the table, and
// all must be forgotten again when its time is over.
func TestFuzzPackets(t *testing.T) {
	r := newRig(t)
	services := fuzzServices()
	r.reach(1500, false, services[:3]...)
	r.reach(1500, true, services[3])
	r.reach(1500, false, services[4:]...)
	for _, s := range services {
		r.put(s)
	}
	tuning := lvs.DefaultTuning()
	tuning.Rules = []lvs.Rule{{Mark: 7, To: netip.PrefixFrom(markedTo.Addr(), 128)}}
	labtest.Must(t, r.plane.Tune(t.Context(), tuning))
	rng := rand.New(rand.NewPCG(1, 2))
	seeds := fuzzSeeds(services)
	doors := []string{progIngress, progXDP, progEgress}
	out := make([]byte, 4096)
	refused := 0
	for n := range *fuzzPackets {
		packet := mutilate(seeds[rng.IntN(len(seeds))], rng)
		opts := ebpf.RunOptions{Data: packet, DataOut: out}
		_, err := r.plane.engine.program(doors[rng.IntN(3)]).Run(&opts)
		if errors.Is(err, syscall.EINVAL) && len(packet) < 54 {
			refused++ // the test-run facility wants whole IP headers in tc
			continue
		}
		if err != nil {
			t.Fatalf("packet %d, %x: %v", n, packet, err)
		}
	}
	if refused > *fuzzPackets/10 {
		t.Errorf("%d of %d packets were not even run", refused, *fuzzPackets)
	}
	if len(r.conns()) == 0 {
		t.Fatal("no packet opened anything; the seeds are wrong")
	}
	r.agree()
	r.outlive() // connections; the templates are held by them
	r.agree()
	r.outlive()
	r.agree()
	if left := r.conns(); len(left) != 0 {
		t.Errorf("%d connections left", len(left))
	}
}

// agree compares every destination's counts with the table, without what has
// outlived its time by itself.
func (r *rig) agree() {
	r.Helper()
	r.sweepAll()
	counted, templates := make(map[netip.Addr]uint32), make(map[netip.Addr]uint64)
	for _, c := range r.conns() {
		if c.Template {
			templates[c.Destination.Addr()]++
		} else {
			counted[c.Destination.Addr()]++
		}
	}
	for key, d := range r.plane.table.dests.all() {
		l, err := r.plane.live(d.id)
		if err != nil {
			r.Fatal(err)
		}
		if sum := uint32(l.Conns>>32) + uint32(l.Conns); sum != counted[key.addr.Addr()] {
			r.Errorf("%s counts %d connections, the table has %d", key.addr, sum, counted[key.addr.Addr()])
		}
		if l.Templates != templates[key.addr.Addr()] {
			r.Errorf("%s counts %d templates, the table has %d", key.addr, l.Templates, templates[key.addr.Addr()])
		}
	}
}

// outlive ends every connection's time and sweeps.
func (r *rig) outlive() {
	r.Helper()
	past := uint64(ticksNow()-1) << 32
	for _, name := range []string{"conns4", "half4"} {
		outliveIn(r, name, func(b *engineBucket4) {
			for i := range b.Conn {
				b.Conn[i].Ctl = b.Conn[i].Ctl&0xffffffff | past
			}
		})
	}
	outliveIn(r, "wides", func(b *engineWideBucket) {
		for i := range b.Conn {
			b.Conn[i].Ctl = b.Conn[i].Ctl&0xffffffff | past
		}
	})
	for _, name := range []string{"conns6", "half6"} {
		outliveIn(r, name, func(b *engineBucket6) {
			for i := range b.Conn {
				b.Conn[i].Ctl = b.Conn[i].Ctl&0xffffffff | past
			}
		})
	}
}

func (r *rig) sweepAll() (use lvs.ConnectionUse) {
	r.Helper()
	for slice := range slices64 {
		if err := r.plane.sweepSlice(sweepTables, slice, &use); err != nil {
			r.Fatal(err)
		}
	}
	return use
}

func outliveIn[T comparable](r *rig, name string, age func(*T)) {
	m := r.plane.engine.maps[name]
	err := scan(m, func(i uint32, b *T) bool {
		aged := *b
		age(&aged)
		if err := m.Put(i, aged); err != nil {
			r.Fatal(err)
		}
		return true
	})
	if err != nil {
		r.Fatal(err)
	}
}

// Each destination stands in one service only, so that a connection's
// destination tells whose count it is in.
func fuzzServices() []lvs.Service {
	masq, gate := tcpService(lvs.WLC, lvs.Masquerade, 3), tcpService(lvs.WRR, lvs.DirectRoute, 2)
	gate.Key = lvs.ServiceKey{Protocol: lvs.UDP, Addr: vip}
	for i := range gate.Destinations {
		gate.Destinations[i].Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i)}), 80)
	}
	local := tcpService(lvs.RR, lvs.Masquerade, 1)
	local.Key.Addr = netip.MustParseAddrPort("192.0.2.2:80")
	local.Destinations[0].Addr = netip.MustParseAddrPort("192.0.2.3:8080")
	all := []lvs.Service{masq, gate, tcpService6(lvs.RR, lvs.Masquerade, 2), local}
	return append(all, wideServices()...)
}

// wideServices are one for every port, one of a mark, persistent both, and one
// that schedules every datagram.
func wideServices() []lvs.Service {
	every := tcpService(lvs.WLC, lvs.Masquerade, 2)
	every.Key.Addr = netip.MustParseAddrPort("192.0.2.4:0")
	every.Persistence = lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(lvs.IPv4, 31)}
	marked := tcpService6(lvs.RR, lvs.DirectRoute, 2)
	marked.Key = lvs.ServiceKey{Mark: 7, Family: lvs.IPv6}
	marked.Persistence = lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(lvs.IPv6, 127)}
	once := tcpService(lvs.RR, lvs.Masquerade, 2)
	once.Key = lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("192.0.2.5:53")}
	once.OnePacket = true
	for i, s := range []lvs.Service{every, marked, once} {
		for n := range s.Destinations {
			a := netip.AddrFrom4([4]byte{10, 3, byte(i), byte(n)})
			if i == 1 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 3, 15: byte(n)})
			}
			s.Destinations[n].Addr = netip.AddrPortFrom(a, s.Destinations[n].Addr.Port())
		}
	}
	return []lvs.Service{every, marked, once}
}

// markedTo is what the mark's rule is about.
var markedTo = netip.MustParseAddrPort("[2001:db8:1::7]:443")

func fuzzSeeds(services []lvs.Service) [][]byte {
	var seeds [][]byte
	add := func(p []byte) { seeds = append(seeds, p) }
	options := func(ip *layers.IPv4) {
		ip.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 11, OptionData: make([]byte, 9)}}
	}
	first := func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }
	later := func(ip *layers.IPv4) { ip.Flags, ip.FragOffset = 0, 3 }
	for _, s := range services {
		from := client
		if s.Key.AF() == lvs.IPv6 {
			from = client6
		}
		to := s.Key.Addr
		if s.Key.Mark != 0 {
			to = markedTo
		}
		for _, f := range []flags{"S", "A", "FA", "R", "SA", ""} {
			add(segment(from, to, f))
			add(segment(s.Destinations[0].Addr, from, f))
		}
		add(datagram(from, to, "question"))
		for _, p := range ipsecPair(from.Addr(), to.Addr()) {
			add(p)
			add(icmpError(to.Addr(), from.Addr(), p))
		}
		add(datagram(netip.AddrPortFrom(from.Addr(), 500), netip.AddrPortFrom(to.Addr(), 500), "keys"))
		add(icmpError(from.Addr(), to.Addr(), segment(to, from, "A")))
		add(icmpError(s.Destinations[0].Addr.Addr(), from.Addr(), segment(from, s.Destinations[0].Addr, "A")))
	}
	for _, more := range []func(*layers.IPv4){options, first, later} {
		add(segment(client, vip, "S", more))
	}
	add(extended(segment(client6, vip6, "S")))
	return seeds
}

// extended puts hop-by-hop, destination options and a fragment header into an
// IPv6 packet.
func extended(frame []byte) []byte {
	ext := []byte{60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9}
	out := append(append(append([]byte{}, frame[:54]...), ext...), frame[54:]...)
	out[14+6] = 0
	n := len(out) - 54
	out[14+4], out[14+5] = byte(n>>8), byte(n)
	return out
}

// mutilate changes bytes, cuts or lengthens a packet, or makes it up.
func mutilate(seed []byte, rng *rand.Rand) []byte {
	p := append([]byte{}, seed...)
	switch rng.IntN(8) {
	case 0:
		p = p[:14+rng.IntN(len(p)-14)]
	case 1:
		p = append(p, make([]byte, rng.IntN(1400))...)
	case 2:
		for i := 14; i < len(p); i++ {
			p[i] = byte(rng.Uint32())
		}
	case 3: // another client, so that connections are opened
		if len(p) > 40 {
			p[14+12+3], p[14+20], p[14+21] = byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())
		}
	default:
		for range 1 + rng.IntN(4) {
			i := 12 + rng.IntN(len(p)-12)
			p[i] ^= byte(1 << rng.IntN(8))
		}
	}
	if rng.IntN(8) > 0 {
		resum(p)
	}
	return p
}

// resum makes the header of an IPv4 packet add up, or nothing else of it would
// be read.
func resum(p []byte) {
	if len(p) < 34 || p[12] != 8 || p[13] != 0 {
		return
	}
	size := min(int(p[14]&15)*4, len(p)-14)
	if size < 20 {
		return
	}
	p[24], p[25] = 0, 0
	sum := uint32(0)
	for i := 14; i+1 < 14+size; i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	p[24], p[25] = byte(^sum>>8), byte(^sum)
}
