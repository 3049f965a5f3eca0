package announce

import (
	"encoding/binary"
	"net"
	"net/netip"
)

var everybody = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// gratuitous is an ARP request for one's own address (RFC 5227, 3): those who
// know the address learn the new place, and so do switches.
func gratuitous(mac net.HardwareAddr, addr netip.Addr) []byte {
	b := append([]byte(nil), everybody...)
	b = append(b, mac...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	b = append(b, mac...)
	b = append(b, addr.AsSlice()...)
	b = append(b, everybody...) // as keepalived has it
	return append(b, addr.AsSlice()...)
}

// What an unsolicited neighbour advertisement is made of (RFC 4861, 4.4).
const (
	advertisement = 136
	override      = 0x20 // replaces what neighbours have learnt
	targetLink    = 2    // the option with the link-layer address
	icmp6         = 58
)

var allNodes = netip.MustParseAddr("ff02::1")

// unsolicited is a neighbour advertisement to all nodes (RFC 4861, 7.2.6).
func unsolicited(mac net.HardwareAddr, addr netip.Addr) []byte {
	body := append([]byte{advertisement, 0, 0, 0, override, 0, 0, 0}, addr.AsSlice()...)
	body = append(body, targetLink, 1)
	body = append(body, mac...)
	binary.BigEndian.PutUint16(body[2:], sum6(addr, allNodes, body))
	b := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(body)), icmp6, 255)
	b = append(b, addr.AsSlice()...)
	b = append(b, allNodes.AsSlice()...)
	return append(b, body...)
}

// sum6 is the checksum of an ICMPv6 message of an even length.
func sum6(from, to netip.Addr, body []byte) uint16 {
	s := uint32(icmp6) + uint32(len(body))
	for _, part := range [][]byte{from.AsSlice(), to.AsSlice(), body} {
		for i := 0; i < len(part); i += 2 {
			s += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
