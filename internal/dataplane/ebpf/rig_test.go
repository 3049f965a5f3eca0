package ebpf

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// A rig sends made-up packets through the programs by the kernel's test-run
// facility: no interface, no other traffic, every byte known. The packets
// arrive on the loopback device, whose address is all zeros.
type rig struct {
	*testing.T
	plane *Plane
}

const loopback = 1 // interface index

var (
	client  = netip.MustParseAddrPort("10.0.0.9:40000")
	client6 = netip.MustParseAddrPort("[2001:db8::9]:40000")
	vip     = netip.MustParseAddrPort("192.0.2.1:80")
	vip6    = netip.MustParseAddrPort("[2001:db8:1::1]:80")
	nextMAC = [6]byte{2, 0, 0, 0, 0, 7}
	ownMAC  = [6]byte{2, 0, 0, 0, 0, 1}
)

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOver(t, true)
}

func newRigOver(t *testing.T, fresh bool) *rig {
	t.Helper()
	labtest.NeedRoot(t)
	e, err := sharedEngine()
	if err != nil {
		t.Fatal(err)
	}
	if fresh {
		empty(t, e)
	}
	o := small
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t, over(e, o, testLog(t))}
	labtest.Must(t, r.plane.Tune(t.Context(), lvs.DefaultTuning())) // another test may have tuned the engine
	return r
}

// sharedEngine is loaded once: the verifier takes longer than most tests. It
// hangs on no interface.
var sharedEngine = sync.OnceValues(func() (*engine, error) {
	o := small
	if err := o.fill(); err != nil {
		return nil, err
	}
	return load(o, slog.New(slog.DiscardHandler))
})

// empty makes every map of the engine what it was after loading.
func empty(t testing.TB, e *engine) {
	t.Helper()
	for name, m := range e.maps {
		if name == settingMap || name == "ports" {
			continue // written alike by every test
		}
		switch m.Type() {
		case ebpf.Array:
			zero := make([]byte, m.ValueSize())
			for i := range m.MaxEntries() {
				labtest.Must(t, m.Put(i, zero))
			}
		case ebpf.PerCPUArray:
			zero := make([][]byte, ebpf.MustPossibleCPU())
			for i := range zero {
				zero[i] = make([]byte, m.ValueSize())
			}
			for i := range m.MaxEntries() {
				labtest.Must(t, m.Put(i, zero))
			}
		default:
			key := make([]byte, m.KeySize())
			for m.NextKey(nil, key) == nil {
				labtest.Must(t, m.Delete(key))
			}
		}
	}
}

// reach makes every address of the destinations reachable through a next hop
// whose MAC is known, with the given MTU; local ones excepted.
func (r *rig) reach(mtu int, local bool, services ...lvs.Service) {
	r.Helper()
	r.plane.links[loopback] = lvs.Link{Index: loopback, Name: "lo", XDPSend: true}
	if err := r.plane.write("ports", uint32(loopback), enginePort{Flags: portXDPSend | portAttached}); err != nil {
		r.Fatal(err)
	}
	for _, s := range services {
		for _, d := range s.Destinations {
			a := d.Addr.Addr()
			r.plane.paths[a] = lvs.Path{Link: loopback, Via: a, MAC: nextMAC, Source: ownMAC, MTU: mtu, Local: local}
		}
	}
}

func (r *rig) put(s lvs.Service) {
	r.Helper()
	if err := r.plane.Put(r.Context(), s); err != nil {
		r.Fatal(err)
	}
}

// A fate is what a program did with a packet.
type fate struct {
	action  uint32
	out     []byte
	verdict string // the counter that went up
}

// The actions of tc and XDP.
const (
	tcNext     = 0xffffffff
	tcShot     = 2
	tcRedirect = 7
	xdpDrop    = 1
	xdpPass    = 2
	xdpTX      = 3
)

// through runs one program over a packet.
func (r *rig) through(prog string, packet []byte) fate {
	r.Helper()
	before := r.verdicts()
	out := make([]byte, len(packet)+256)
	opts := ebpf.RunOptions{Data: packet, DataOut: out}
	action, err := r.plane.engine.program(prog).Run(&opts)
	if err != nil {
		r.Fatalf("run %s: %v", prog, err)
	}
	f := fate{action: action, out: opts.DataOut}
	for name, n := range r.verdicts() {
		if n != before[name] {
			f.verdict = name
		}
	}
	return f
}

func (r *rig) ingress(packet []byte) fate { r.Helper(); return r.through(progIngress, packet) }
func (r *rig) xdp(packet []byte) fate     { r.Helper(); return r.through(progXDP, packet) }
func (r *rig) egress(packet []byte) fate  { r.Helper(); return r.through(progEgress, packet) }

func (r *rig) verdicts() map[string]uint64 {
	r.Helper()
	list, err := r.plane.verdicts()
	if err != nil {
		r.Fatal(err)
	}
	m := make(map[string]uint64)
	for _, v := range list {
		m[v.Name] = v.Packets
	}
	return m
}

// conns lists all connections.
func (r *rig) conns() []lvs.Connection {
	r.Helper()
	var all []lvs.Connection
	for c, err := range r.plane.Connections(r.Context(), lvs.ConnectionFilter{}) {
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// loads are the destinations' connection counts, in list order.
func (r *rig) load(k lvs.ServiceKey, d lvs.Destination) (active, inactive uint32) {
	r.Helper()
	l, err := r.plane.live(r.plane.table.dests.get(destKey{k, d.Addr}).id)
	if err != nil {
		r.Fatal(err)
	}
	return uint32(l.Conns >> 32), uint32(l.Conns)
}

// tcpService is a service with n destinations 10.1.0.1 … in list order.
func tcpService(s lvs.Scheduler, f lvs.Forwarding, n int) lvs.Service {
	svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip}, Scheduler: s}
	for i := range n {
		port := vip.Port()
		if f == lvs.Masquerade {
			port = 8080
		}
		svc.Destinations = append(svc.Destinations, lvs.Destination{
			Addr:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(1 + i)}), port),
			Weight: 1, Forward: f,
		})
	}
	return svc
}

func tcpService6(s lvs.Scheduler, f lvs.Forwarding, n int) lvs.Service {
	svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip6}, Scheduler: s}
	for i := range n {
		a := netip.MustParseAddr("2001:db8:2::").As16()
		a[15] = byte(1 + i)
		svc.Destinations = append(svc.Destinations, lvs.Destination{
			Addr: netip.AddrPortFrom(netip.AddrFrom16(a), 8080), Weight: 1, Forward: f,
		})
	}
	return svc
}

// Flags of a TCP segment, as people write them.
type flags string

// segment builds a TCP packet in words: segment(client, vip, "S").
func segment(from, to netip.AddrPort, f flags, more ...func(*layers.IPv4)) []byte {
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Seq: 1, Window: 1000}
	for _, c := range f {
		switch c {
		case 'S':
			tcp.SYN = true
		case 'A':
			tcp.ACK = true
		case 'F':
			tcp.FIN = true
		case 'R':
			tcp.RST = true
		}
	}
	return build(from, to, layers.IPProtocolTCP, tcp, []byte("hello"), more...)
}

// datagram builds a UDP packet.
func datagram(from, to netip.AddrPort, body string) []byte {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	return build(from, to, layers.IPProtocolUDP, udp, []byte(body))
}

// A transport is a layer whose checksum covers addresses.
type transport interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

func build(from, to netip.AddrPort, proto layers.IPProtocol, l4 transport, body []byte, more ...func(*layers.IPv4)) []byte {
	eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6)}
	var ip gopacket.SerializableLayer
	if from.Addr().Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(), Flags: layers.IPv4DontFragment}
		for _, m := range more {
			m(v4)
		}
		l4.SetNetworkLayerForChecksum(v4)
		ip = v4
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
		l4.SetNetworkLayerForChecksum(v6)
		ip = v6
	}
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opts, eth, ip, l4, gopacket.Payload(body)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// A seen packet is one taken apart again, its checksums verified.
type seen struct {
	from, to netip.AddrPort
	ttl      uint8
	dmac     net.HardwareAddr
	pkt      gopacket.Packet
}

func (r *rig) look(frame []byte) seen {
	r.Helper()
	pkt := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	// What a transport carries is nobody's business here.
	if e := pkt.ErrorLayer(); e != nil && pkt.TransportLayer() == nil {
		r.Fatalf("the packet that came out cannot be read: %v", e.Error())
	}
	s := seen{pkt: pkt, dmac: pkt.Layer(layers.LayerTypeEthernet).(*layers.Ethernet).DstMAC}
	var src, dst netip.Addr
	switch ip := pkt.NetworkLayer().(type) {
	case *layers.IPv4:
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		s.ttl = ip.TTL
	case *layers.IPv6:
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		s.ttl = ip.HopLimit
	}
	var sport, dport uint16
	switch l4 := pkt.TransportLayer().(type) {
	case *layers.TCP:
		sport, dport = uint16(l4.SrcPort), uint16(l4.DstPort)
	case *layers.UDP:
		sport, dport = uint16(l4.SrcPort), uint16(l4.DstPort)
	}
	s.from, s.to = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	r.sums(frame)
	return s
}

// sums verifies every checksum of a packet.
func (r *rig) sums(frame []byte) {
	r.Helper()
	pkt := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	for _, l := range pkt.Layers() {
		if l4, ok := l.(transport); ok && pkt.NetworkLayer() != nil {
			l4.SetNetworkLayerForChecksum(pkt.NetworkLayer())
		}
	}
	err, wrong := pkt.VerifyChecksums()
	if err != nil {
		r.Fatalf("verify checksums: %v", err)
	}
	for _, w := range wrong {
		r.Errorf("wrong checksum in layer %d (%s): %#x, want %#x", w.LayerIndex, w.Layer.LayerType(), w.Actual, w.Correct)
	}
}
