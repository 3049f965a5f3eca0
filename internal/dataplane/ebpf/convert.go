package ebpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// This file is the one place where lvs values become map bytes and back.

// wire is a 16- or 32-bit number as it lies in a packet, read as the machine
// reads it: what the C side calls __be16 and __be32.
func wire16(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

func host16(v uint16) uint16 { return wire16(v) }

func addrOf(a netip.Addr) (out engineAddr) {
	b := a.As16()
	for i := range out.W {
		out.W[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return out
}

func netAddr(a engineAddr) netip.Addr {
	var b [16]byte
	for i, w := range a.W {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return netip.AddrFrom16(b).Unmap()
}

func serviceKey(k lvs.ServiceKey) engineServiceKey {
	return engineServiceKey{Addr: addrOf(k.Addr.Addr()), Port: wire16(k.Addr.Port()), Protocol: uint8(k.Protocol)}
}

func lvsKey(k engineServiceKey) lvs.ServiceKey {
	return lvs.ServiceKey{
		Protocol: lvs.Protocol(k.Protocol),
		Addr:     netip.AddrPortFrom(netAddr(k.Addr), host16(k.Port)),
	}
}

var schedulers = map[lvs.Scheduler]engineScheduler{
	lvs.RR: engineSchedulerSCHED_RR, lvs.WRR: engineSchedulerSCHED_WRR,
	lvs.LC: engineSchedulerSCHED_LC, lvs.WLC: engineSchedulerSCHED_WLC,
	lvs.SED: engineSchedulerSCHED_SED, lvs.NQ: engineSchedulerSCHED_NQ,
	lvs.FO: engineSchedulerSCHED_FO, lvs.OVF: engineSchedulerSCHED_OVF,
	lvs.SH: engineSchedulerSCHED_SH, lvs.DH: engineSchedulerSCHED_DH, lvs.MH: engineSchedulerSCHED_MH,
}

func lvsScheduler(s engineScheduler) lvs.Scheduler {
	for name, n := range schedulers {
		if n == s {
			return name
		}
	}
	return ""
}

// The flags of a destination, as types.h numbers them.
const (
	destAvailable = 1 << iota
	destLocal
	destLoopback
	destV6
)

const (
	nexthopResolved = 1 << iota
	nexthopXDP
	nexthopV6
)

const (
	portXDPSend = 1 << iota
	portAttached
)

// destination makes a destination's entry. Where it is and how it is reached
// comes with the path.
func destination(k lvs.ServiceKey, d lvs.Destination, service, nexthop uint32, p lvs.Path) engineDest {
	e := engineDest{
		Addr: addrOf(d.Addr.Addr()), Port: wire16(d.Addr.Port()),
		Vaddr: addrOf(k.Addr.Addr()), Vport: wire16(k.Addr.Port()),
		Protocol: uint8(k.Protocol), Forward: uint8(d.Forward), Flags: destAvailable,
		Service: service, Nexthop: nexthop, Upper: d.Upper, Lower: d.Lower, Weight: uint32(d.Weight),
	}
	if d.Forward == lvs.Tunnel {
		e.Encap = uint8(d.Encap.Type) | uint8(d.Encap.Checksum)<<4
		e.TunnelPort = wire16(d.Encap.Port)
	}
	if p.Local {
		e.Flags |= destLocal
	}
	if d.Addr.Addr().IsLoopback() {
		e.Flags |= destLocal | destLoopback
	}
	if d.Addr.Addr().Is6() {
		e.Flags |= destV6
	}
	return e
}

func (e engineDest) key() destKey {
	return destKey{
		service: lvs.ServiceKey{Protocol: lvs.Protocol(e.Protocol), Addr: netip.AddrPortFrom(netAddr(e.Vaddr), host16(e.Vport))},
		addr:    netip.AddrPortFrom(netAddr(e.Addr), host16(e.Port)),
	}
}

func lvsDestination(e engineDest, weight uint32) lvs.Destination {
	return lvs.Destination{
		Addr: e.key().addr, Forward: lvs.Forwarding(e.Forward), Weight: int(weight), Upper: e.Upper, Lower: e.Lower,
		Encap: lvs.Encap{Type: lvs.TunnelType(e.Encap & 0xf), Checksum: lvs.TunnelChecksum(e.Encap >> 4), Port: host16(e.TunnelPort)},
	}
}

func nexthop(p lvs.Path, xdp bool) engineNexthop {
	n := engineNexthop{Ifindex: uint32(p.Link), Mtu: uint32(p.MTU), Dmac: p.MAC, Smac: p.Source}
	if p.Via.IsValid() {
		n.Via = addrOf(p.Via)
		if p.Via.Unmap().Is6() {
			n.Flags |= nexthopV6
		}
	}
	if p.From.IsValid() {
		n.From = addrOf(p.From)
	}
	if p.Resolved() {
		n.Flags |= nexthopResolved
	}
	if xdp {
		n.Flags |= nexthopXDP
	}
	return n
}

// filterBit is the bit of the filter an address sets (filter_bit in service.h).
func filterBit(a netip.Addr) uint32 {
	w := addrOf(a).W
	return (w[0] ^ w[1] ^ w[2] ^ w[3]) * 0x9e3779b1 >> 16
}
