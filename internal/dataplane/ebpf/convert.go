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
	if k.Mark != 0 {
		return engineServiceKey{Addr: markAddr(k)}
	}
	return engineServiceKey{Addr: addrOf(k.Addr.Addr()), Port: wire16(k.Addr.Port()), Protocol: uint8(k.Protocol)}
}

// markAddr is a mark in the place of an address: 0.0.0.7, or 0:7::.
func markAddr(k lvs.ServiceKey) engineAddr {
	var b [16]byte
	if k.Family == lvs.IPv6 {
		binary.BigEndian.PutUint32(b[:], k.Mark)
		return addrOf(netip.AddrFrom16(b))
	}
	binary.BigEndian.PutUint32(b[:], k.Mark)
	return addrOf(netip.AddrFrom4([4]byte(b[:4])))
}

func lvsKey(k engineServiceKey) lvs.ServiceKey {
	if k.Protocol == 0 {
		a := netAddr(k.Addr)
		key := lvs.ServiceKey{Mark: binary.BigEndian.Uint32(a.AsSlice()), Family: lvs.FamilyOf(a)}
		return key
	}
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
	lvs.LBLC: engineSchedulerSCHED_LBLC, lvs.LBLCR: engineSchedulerSCHED_LBLCR, lvs.TWOS: engineSchedulerSCHED_TWOS,
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
	destWide
)

// The switches of the engine, as types.h numbers them.
const (
	haveMarks = 1 << iota
	haveAnyPort
	haveFTP
	haveStrays
)

const (
	sysExpireNodest = 1 << iota
	sysExpireQuiescent
	sysSloppyTCP
	sysSloppySCTP
	sysSecureTCP
	sysScheduleICMP
	sysCacheBypass
	sysNatICMPSend
	sysDropEntry
)

const (
	serviceOnePacket = 1 << iota
	serviceMark
	serviceSIP
	serviceCache
)

const (
	nexthopResolved = 1 << iota
	nexthopXDP
	nexthopV6
	nexthopFailed
)

const (
	portXDPSend = 1 << iota
	portAttached
	portVeth
)

// destination makes a destination's entry. Where it is and how it is reached
// comes with the path.
func destination(k lvs.ServiceKey, d lvs.Destination, service, nexthop uint32, p lvs.Path) engineDest {
	e := engineDest{
		Addr: addrOf(d.Addr.Addr()), Port: wire16(d.Addr.Port()),
		Vaddr: serviceKey(k).Addr, Vport: wire16(k.Addr.Port()),
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
		service: lvsKey(engineServiceKey{Addr: e.Vaddr, Port: e.Vport, Protocol: e.Protocol}),
		addr:    e.at(),
	}
}

func (e engineDest) at() netip.AddrPort { return netip.AddrPortFrom(netAddr(e.Addr), host16(e.Port)) }

// serviceEntry makes a service's entry.
func serviceEntry(s lvs.Service, set uint32) engineService {
	k := serviceKey(s.Key)
	e := engineService{Set: set, Addr: k.Addr, Port: k.Port, SchedFlags: s.SchedFlags, Persistence: s.Persistence.Timeout}
	if s.Persistence.Timeout != 0 {
		e.Mask = maskOf(s.Persistence.Mask)
	}
	if s.OnePacket {
		e.Flags |= serviceOnePacket
	}
	if s.Key.Mark != 0 {
		e.Flags |= serviceMark
	}
	if s.Persistence.Engine != "" {
		e.Flags |= serviceSIP
	}
	if s.Scheduler == lvs.LBLC || s.Scheduler == lvs.LBLCR {
		e.Flags |= serviceCache
	}
	return e
}

// maskOf is a mask over an address as the engine has it: the part of IPv4 that
// says "IPv4" always counts.
func maskOf(m netip.Addr) engineAddr {
	if m.Is4() {
		b := m.As4()
		all := [16]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		copy(all[12:], b[:])
		return addrOf(netip.AddrFrom16(all))
	}
	return addrOf(m)
}

// persistence is what serviceEntry made of it.
func persistence(k lvs.ServiceKey, e engineService) (p lvs.Persistence) {
	if e.Persistence == 0 {
		return p
	}
	p.Timeout = e.Persistence
	var b [16]byte
	for i, w := range e.Mask.W {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	p.Mask = netip.AddrFrom16(b)
	if k.AF() == lvs.IPv4 {
		p.Mask = netip.AddrFrom4([4]byte(b[12:]))
	}
	if e.Flags&serviceSIP != 0 {
		p.Engine = "sip"
	}
	return p
}

// isWide tells whether the connections of a service need the wide table: a
// destination and two ports do not tell all about them.
func isWide(s lvs.Service) bool {
	return s.Persistence.Timeout != 0 || s.Key.Mark != 0 || s.Key.Addr.Port() == 0 || isFTP(s.Key)
}

// isFTP tells whether the service is FTP's, whose control connections are read.
func isFTP(k lvs.ServiceKey) bool { return k.Protocol == lvs.TCP && k.Addr.Port() == 21 }

func lvsDestination(e engineDest, weight uint32) lvs.Destination {
	return lvs.Destination{
		Addr: e.key().addr, Forward: lvs.Forwarding(e.Forward), Weight: int(weight), Upper: e.Upper, Lower: e.Lower,
		Encap: lvs.Encap{Type: lvs.TunnelType(e.Encap & 0xf), Checksum: lvs.TunnelChecksum(e.Encap >> 4), Port: host16(e.TunnelPort)},
	}
}

func nexthop(p lvs.Path, xdp bool) engineNexthop {
	n := engineNexthop{Ifindex: uint32(p.Link), Mtu: uint32(p.MTU), Macs: engineMacs{Dest: p.MAC, Source: p.Source}}
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
	if p.Trouble != "" {
		n.Flags |= nexthopFailed
	}
	return n
}

// filterPlace is the place of an address in the filter (filter_place in filter.h).
func filterPlace(a netip.Addr) uint32 {
	w := addrOf(a).W
	return (w[0] ^ w[1] ^ w[2] ^ w[3]) * 0x9e3779b1 >> 16
}
