package ipvs

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// encodeDestKey is the part of a destination that names it.
func encodeDestKey(e *netlink.AttributeEncoder, at netip.AddrPort) {
	union(e, dstAddr, at.Addr())
	bigPort(e, dstPort, at.Port())
	e.Uint16(dstFamily, familyOf(lvs.FamilyOf(at.Addr())))
}

// encodeDest is the whole of a destination.
func encodeDest(e *netlink.AttributeEncoder, d lvs.Destination) {
	encodeDestKey(e, d.Addr)
	e.Uint32(dstForward, uint32(d.Forward))
	e.Uint32(dstWeight, uint32(d.Weight))
	e.Uint32(dstUpper, d.Upper)
	e.Uint32(dstLower, d.Lower)
	e.Uint8(dstTunnelType, uint8(d.Encap.Type))
	bigPort(e, dstTunnelPort, d.Encap.Port)
	e.Uint16(dstTunnelFlags, uint16(d.Encap.Checksum))
}

// decodeDest reads a destination of a service of family of.
func decodeDest(b []byte, of lvs.Family) (destination, error) {
	var x destination
	var af, port, tunnelFlags uint16
	var forward, weight uint32
	var addr, narrow, wide []byte
	err := each(b, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case dstAddr:
			addr = d.Bytes()
		case dstPort:
			port = portOf(d.Bytes())
		case dstForward:
			forward = d.Uint32()
		case dstWeight:
			weight = d.Uint32()
		case dstUpper:
			x.Upper = d.Uint32()
		case dstLower:
			x.Lower = d.Uint32()
		case dstActive:
			x.Active = d.Uint32()
		case dstInactive:
			x.Inactive = d.Uint32()
		case dstTemplates:
			x.Templates = d.Uint32()
		case dstFamily:
			af = d.Uint16()
		case dstTunnelType:
			x.Encap.Type = lvs.TunnelType(d.Uint8())
		case dstTunnelPort:
			x.Encap.Port = portOf(d.Bytes())
		case dstTunnelFlags:
			tunnelFlags = d.Uint16()
		case dstStats:
			narrow = d.Bytes()
		case dstStats64:
			wide = d.Bytes()
		}
	})
	if err != nil {
		return x, err
	}
	if af == 0 {
		af = familyOf(of)
	}
	a, ok := addrOf(addr, af)
	if !ok || weight > math.MaxInt32 {
		return x, fmt.Errorf("%w: a destination of family %d and %d bytes, weight %d", errCodec, af, len(addr), weight)
	}
	x.Addr = netip.AddrPortFrom(a, port)
	x.Forward, x.Weight = lvs.Forwarding(forward&forwardMask), int(weight)
	x.settleTunnel(tunnelFlags)
	x.Counters, x.Rates, err = decodeStats(narrow, wide)
	return x, err
}

// forwardMask are the bits of a connection's flags that are its method.
const forwardMask = 7

// settleTunnel leaves of the tunnel what counts for the method and type.
func (x *destination) settleTunnel(flags uint16) {
	if x.Forward != lvs.Tunnel {
		x.Encap = lvs.Encap{}
		return
	}
	switch {
	case x.Encap.Type == lvs.IPIP:
	case flags&uint16(lvs.RemoteChecksum) != 0 && x.Encap.Type == lvs.GUE:
		x.Encap.Checksum = lvs.RemoteChecksum
	case flags&uint16(lvs.Checksum) != 0:
		x.Encap.Checksum = lvs.Checksum
	}
	if x.Encap.Type != lvs.GUE {
		x.Encap.Port = 0
	}
}

// decodeStats reads statistics, the wide form if there is one. In the narrow
// one only bytes are wide.
func decodeStats(narrow, wide []byte) (c lvs.Counters, r lvs.Rates, err error) {
	text := wide
	if text == nil {
		text = narrow
	}
	number := func(d *netlink.AttributeDecoder) uint64 {
		if len(d.Bytes()) == 4 {
			return uint64(d.Uint32())
		}
		return d.Uint64()
	}
	to := map[uint16]*uint64{
		statConns: &c.Connections, statInPackets: &c.InPackets, statOutPackets: &c.OutPackets,
		statInBytes: &c.InBytes, statOutBytes: &c.OutBytes,
		statConnsRate: &r.Connections, statInPacketsRate: &r.InPackets, statOutPacketsRate: &r.OutPackets,
		statInBytesRate: &r.InBytes, statOutBytesRate: &r.OutBytes,
	}
	err = each(text, func(d *netlink.AttributeDecoder) {
		if n := to[d.Type()]; n != nil {
			*n = number(d)
		}
	})
	return c, r, err
}
