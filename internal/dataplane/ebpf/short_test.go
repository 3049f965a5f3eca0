package ebpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestShortRoad sends the same packets, whole and mutilated, through an engine
// with the short road and one that has only the long one. Both must do the
// same to each packet, and leave the same connections and counters.
func TestShortRoad(t *testing.T) {
	l := labtest.New(t)
	labtest.Must(t, routedHost(t, l).Do(func() error {
		short, long := twoEngines(t)
		a, b := &rig{t, over(short, small, testLog(t))}, &rig{t, over(long, small, testLog(t))}
		services := append(fuzzServices(), append(tunnelServices(), besideWide())...)
		for _, r := range []*rig{a, b} {
			r.reach(1500, false, services...)
			r.fromOwn()
			for _, s := range services {
				r.put(s)
			}
			// Else the mark's packets could be any, and all would go the long road.
			tuning := lvs.DefaultTuning()
			tuning.Rules = []lvs.Rule{{Mark: 7, To: netip.PrefixFrom(markedTo.Addr(), 128)}}
			labtest.Must(t, r.plane.Tune(t.Context(), tuning))
		}
		packets := 30_000
		if testing.Short() {
			packets = 3_000
		}
		taken := compareRoads(t, a, b, shortSeeds(services), packets)
		for _, v := range []string{"forwarded", "replied"} {
			if taken[v] < packets/50 {
				t.Errorf("only %d packets were %s; too few to say anything", taken[v], v)
			}
		}
		compareTables(t, a, b)
		answersOfEverySize(a)
		return nil
	}))
}

// fromOwn gives every way the director's address, which tunnels need.
func (r *rig) fromOwn() {
	for a, p := range r.plane.paths {
		p.From = own4
		if a.Is6() {
			p.From = own6
		}
		r.plane.paths[a] = p
	}
}

// answersOfEverySize asks that a way that is remembered is not taken for an
// answer that does not fit on it.
func answersOfEverySize(r *rig) {
	from := netip.MustParseAddrPort("10.0.0.77:4077")
	r.ingress(segment(from, vip, "S"))
	r.ingress(segment(from, vip, "A"))
	var to netip.AddrPort
	for _, c := range r.conns() {
		if c.Client == from {
			to = c.Destination
		}
	}
	for range 20 {
		if f := r.ingress(segment(to, from, "A")); f.verdict != "replied" {
			r.Errorf("a small answer: %q", f.verdict)
		}
		if f := r.ingress(tooLong(to, from)); f.verdict != "deferred" {
			r.Errorf("an answer that is too long: %q", f.verdict)
		}
	}
}

// tooLong is one byte too long for Ethernet.
func tooLong(from, to netip.AddrPort) []byte {
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), ACK: true}
	return build(from, to, layers.IPProtocolTCP, tcp, make([]byte, 1461))
}

// routedHost is a namespace that knows ways to the clients.
func routedHost(t *testing.T, l *lab.Lab) *lab.Host {
	d, err := l.Host("director")
	labtest.Must(t, err)
	far, err := l.Host("far")
	labtest.Must(t, err)
	own4, own6 := netip.MustParsePrefix("10.99.0.1/24"), netip.MustParsePrefix("2001:db8:99::1/64")
	far4, far6 := netip.MustParsePrefix("10.99.0.2/24"), netip.MustParsePrefix("2001:db8:99::2/64")
	mac := [6]byte{2, 0, 0, 0, 0, 9}
	labtest.Must(t, l.Wire(lab.Port{Host: d, Name: "up", Addrs: []netip.Prefix{own4, own6}},
		lab.Port{Host: far, Name: "down", MAC: mac[:], Addrs: []netip.Prefix{far4, far6}}, lab.WireOptions{NoOffload: true}))
	labtest.Must(t, errors.Join(
		d.Sysctl("net/ipv4/ip_forward", "1"), d.Sysctl("net/ipv6/conf/all/forwarding", "1"),
		d.Route(netip.MustParsePrefix("10.0.0.0/16"), far4.Addr()), d.Route(netip.MustParsePrefix("2001:db8::/64"), far6.Addr()),
		d.Neighbour("up", far4.Addr(), mac[:]), d.Neighbour("up", far6.Addr(), mac[:])))
	return d
}

// twoEngines are alike but for the short road: they hash and lay out alike.
// The one with it is everybody's.
func twoEngines(t *testing.T) (short, long *engine) {
	short, err := sharedEngine()
	labtest.Must(t, err)
	empty(t, short)
	spec, err := loadEngine()
	labtest.Must(t, err)
	o := small
	labtest.Must(t, o.fill())
	long = &engine{}
	t.Cleanup(long.close)
	labtest.Must(t, long.create(spec, o))
	long.seed, long.settings.Seed = short.seed, short.seed
	labtest.Must(t, long.maps[settingMap].Put(uint32(0), long.settings))
	tc, xdp := tcDoor, xdpDoor
	tc.shortcut, xdp.shortcut = false, false
	long.tc, err = long.open(tc)
	labtest.Must(t, err)
	long.xdp, err = long.open(xdp)
	labtest.Must(t, err)
	return short, long
}

// besideWide makes the address of a service that is not persistent, and its
// real servers', worth a look into the wide table.
func besideWide() lvs.Service {
	s := tcpService6(lvs.RR, lvs.Masquerade, 2)
	s.Key.Addr = netip.AddrPortFrom(s.Key.Addr.Addr(), 443)
	s.Persistence = lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(lvs.IPv6, 128)}
	return s
}

func tunnelServices() (all []lvs.Service) {
	for i, e := range []lvs.Encap{{}, {Type: lvs.GUE, Port: 6080}, {Type: lvs.GUE, Port: 6080, Checksum: lvs.Checksum}, {Type: lvs.GRE, Checksum: lvs.Checksum}} {
		for _, proto := range []lvs.Protocol{lvs.TCP, lvs.UDP} {
			for _, s := range []lvs.Service{tcpService(lvs.RR, lvs.Tunnel, 2), tcpService6(lvs.RR, lvs.Tunnel, 2)} {
				s.Key.Protocol = proto
				s.Key.Addr = netip.AddrPortFrom(s.Key.Addr.Addr(), uint16(1000+i))
				for n := range s.Destinations {
					s.Destinations[n].Encap = e
					if s.Key.AF() == lvs.IPv4 && n == 1 && e.Type == lvs.GUE { // of the other family
						s.Destinations[n].Addr = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:2::7"), s.Destinations[n].Addr.Port())
					}
				}
				all = append(all, s)
			}
		}
	}
	return all
}

// shortSeeds are the fuzzer's and, of each service, what goes the short road or
// only just does not.
func shortSeeds(services []lvs.Service) [][]byte {
	seeds := fuzzSeeds(services)
	add := func(p lvs.Protocol, from, to netip.AddrPort) {
		if p == lvs.UDP {
			short, long := datagram(from, to, "x"), datagram(from, to, string(make([]byte, 1473)))
			seeds = append(seeds, short, short, unsummed(slices.Clone(short)), long)
			return
		}
		ends := func(ip *layers.IPv4) { ip.TTL = 1 }
		seeds = append(seeds, segment(from, to, "A"), segment(from, to, "A"), segment(from, to, "A", ends), tooLong(from, to))
	}
	for _, s := range services {
		if s.Key.Mark != 0 {
			continue
		}
		from, to := client, s.Key.Addr
		if s.Key.AF() == lvs.IPv6 {
			from = client6
		}
		if to.Port() == 0 {
			to = netip.AddrPortFrom(to.Addr(), 80)
		}
		add(s.Key.Protocol, from, to)
		for _, d := range s.Destinations {
			if d.Forward == lvs.Masquerade {
				add(s.Key.Protocol, d.Addr, from)
			}
		}
	}
	return seeds
}

// compareRoads counts the verdicts both engines gave.
func compareRoads(t *testing.T, a, b *rig, seeds [][]byte, packets int) map[string]int {
	rng := rand.New(rand.NewPCG(3, 4))
	doors := []string{progIngress, progXDP}
	taken := make(map[string]int)
	for n := range packets {
		packet := seeds[rng.IntN(len(seeds))]
		if rng.IntN(4) == 0 {
			packet = mutilate(packet, rng)
		}
		door := doors[rng.IntN(2)]
		one, err := a.once(door, packet)
		two, err2 := b.once(door, packet)
		if errors.Is(err, syscall.EINVAL) && len(packet) < 54 {
			continue // the test-run facility wants whole IP headers in tc
		}
		labtest.Must(t, errors.Join(err, err2))
		if one.action != two.action || one.verdict != two.verdict || !bytes.Equal(timeless(one.out), timeless(two.out)) {
			t.Fatalf("packet %d through %s, %x:\nshort %d %s %x\nlong  %d %s %x", n, door, packet,
				one.action, one.verdict, one.out, two.action, two.verdict, two.out)
		}
		taken[one.verdict]++
	}
	return taken
}

func (r *rig) once(door string, packet []byte) (fate, error) {
	before := r.verdicts()
	opts := ebpf.RunOptions{Data: packet, DataOut: make([]byte, len(packet)+256)}
	action, err := r.plane.engine.program(door).Run(&opts)
	f := fate{action: action, out: opts.DataOut}
	for name, n := range r.verdicts() {
		if n != before[name] {
			f.verdict = name
		}
	}
	return f, err
}

// timeless is a frame without the number an outer IPv4 header is given by
// chance, and without its checksum.
func timeless(frame []byte) []byte {
	if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[20]&0x40 != 0 {
		return frame
	}
	if p := frame[23]; p != 4 && p != 41 && p != 17 && p != 47 {
		return frame
	}
	frame = slices.Clone(frame)
	copy(frame[18:], []byte{0, 0})
	copy(frame[24:], []byte{0, 0})
	return frame
}

// compareTables compares what is left: connections, counts, counters.
func compareTables(t *testing.T, a, b *rig) {
	list := func(r *rig) (lines []string) {
		for _, c := range r.conns() {
			c.Expires = 0
			lines = append(lines, fmt.Sprintf("%+v", c))
		}
		for k, d := range r.plane.table.dests.all() {
			s, err := r.plane.stats(d.id)
			labtest.Must(t, err)
			l, err := r.plane.live(d.id)
			labtest.Must(t, err)
			lines = append(lines, fmt.Sprintf("%v %+v %+v", k, s, l))
		}
		slices.Sort(lines)
		return lines
	}
	if d := cmp.Diff(list(b), list(a)); d != "" {
		t.Errorf("the long road (-) and the short one (+) left different tables:\n%s", d)
	}
}
