// Package decap unwraps tunnels on a real server: an eBPF program at the
// ingress of interfaces takes the outer headers off ipip, GUE and GRE packets
// for this host, where no tunnel device of the kernel does.
//
// What is attached stays when the process ends, and carries its settings in
// its maps, where Running finds them. It decides nothing: which addresses, who
// may send, and where, it is told.
package decap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/weir-lb/weir/internal/realserver"
)

// fates by their number in the program. docs/realserver.md has a row for each.
var fates = [unwrapperFateF_COUNT]realserver.Fate{
	unwrapperFateF_UNWRAPPED: {Name: "unwrapped", Fate: "unwrapped", Help: "the packet inside went to the stack"},
	unwrapperFateF_FOREIGN:   {Name: "foreign", Fate: "left alone", Help: "from a sender that --from does not name"},
	unwrapperFateF_FRAGMENT:  {Name: "fragment", Fate: "left alone", Help: "part of a fragmented tunnel packet: the way from the director is too narrow"},
	unwrapperFateF_MALFORMED: {Name: "malformed", Fate: "left alone", Help: "headers that do not fit the packet"},
	unwrapperFateF_UNKNOWN:   {Name: "unknown-option", Fate: "left alone", Help: "a key, option or version of the tunnel nobody agreed on, or no IP inside"},
	unwrapperFateF_OTHER:     {Name: "other-address", Fate: "left alone", Help: "the packet inside is for an address that --vip does not name"},
	unwrapperFateF_CONGESTED: {Name: "congestion", Fate: "dropped", Help: "congestion was met and the sender does not know ECN (RFC 6040)"},
	unwrapperFateF_FAILED:    {Name: "helper-failed", Fate: "dropped", Help: "the kernel refused to change the packet"},
}

// load makes maps and program with these settings.
func load(s realserver.Unwrap) (*ebpf.Collection, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	spec, err := loadUnwrapper()
	if err != nil {
		return nil, fmt.Errorf("read the unwrapping program: %w", err)
	}
	for name, n := range map[string]int{unwrapperMapVips: len(s.VIPs), unwrapperMapOuters: len(s.Outers), unwrapperMapPeers: len(s.From)} {
		spec.Maps[name].MaxEntries = uint32(max(1, n))
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load the unwrapping program (root, or CAP_BPF and CAP_NET_ADMIN, is needed; Linux 6.1 or newer): %w", err)
	}
	if err := write(s, coll); err != nil {
		coll.Close()
		return nil, fmt.Errorf("tell the unwrapping program what to do: %w", err)
	}
	return coll, nil
}

func write(s realserver.Unwrap, coll *ebpf.Collection) error {
	t := unwrapperTake{Gue: network16(s.GUE)}
	if s.IPIP {
		t.Ipip = 1
	}
	if s.GRE {
		t.Gre = 1
	}
	if len(s.From) == 0 {
		t.AnyPeer = 1
	}
	errs := []error{coll.Maps[unwrapperMapTakes].Put(uint32(0), t)}
	for _, a := range s.VIPs {
		errs = append(errs, coll.Maps[unwrapperMapVips].Put(a.As16(), uint32(1)))
	}
	for _, a := range s.Outers {
		errs = append(errs, coll.Maps[unwrapperMapOuters].Put(a.As16(), uint32(1)))
	}
	for _, p := range s.From {
		errs = append(errs, coll.Maps[unwrapperMapPeers].Put(keyOf(p), uint32(1)))
	}
	return errors.Join(errs...)
}

// read is write backwards.
func read(maps map[string]*ebpf.Map) (s realserver.Unwrap, err error) {
	var t unwrapperTake
	if err := maps[unwrapperMapTakes].Lookup(uint32(0), &t); err != nil {
		return s, err
	}
	s.IPIP, s.GRE, s.GUE = t.Ipip != 0, t.Gre != 0, network16(t.Gue)
	var a [16]byte
	var one uint32
	vips := maps[unwrapperMapVips].Iterate()
	for vips.Next(&a, &one) {
		s.VIPs = append(s.VIPs, netip.AddrFrom16(a).Unmap())
	}
	outers := maps[unwrapperMapOuters].Iterate()
	for outers.Next(&a, &one) {
		s.Outers = append(s.Outers, netip.AddrFrom16(a).Unmap())
	}
	var k unwrapperPeerKey
	peers := maps[unwrapperMapPeers].Iterate()
	for peers.Next(&k, &one) {
		s.From = append(s.From, prefixOf(k))
	}
	return s, errors.Join(vips.Err(), outers.Err(), peers.Err())
}

// keyOf is a prefix in the form of the map, where IPv4 addresses are mapped.
func keyOf(p netip.Prefix) (k unwrapperPeerKey) {
	k.Bits = uint32(p.Bits())
	if p.Addr().Is4() {
		k.Bits += 96
	}
	b := p.Addr().As16()
	for i := range k.Addr.W {
		k.Addr.W[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return k
}

func prefixOf(k unwrapperPeerKey) netip.Prefix {
	var b [16]byte
	for i, w := range k.Addr.W {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	a, bits := netip.AddrFrom16(b), int(k.Bits)
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a, bits)
}

// network16 turns a number into network byte order and back.
func network16(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}
