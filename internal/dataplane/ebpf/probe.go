package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// probePacket builds the frame of a probe. Transport checksums stay empty:
// nothing looks at them before they are changed.
func probePacket(q lvs.Probe, mac [6]byte) ([]byte, error) {
	from, to := q.From.Addr().Unmap(), q.To.Addr().Unmap()
	if !from.IsValid() || !to.IsValid() || from.Is4() != to.Is4() {
		return nil, errors.New("both ends of a packet need addresses of one family")
	}
	l4, err := probeTransport(q)
	if err != nil {
		return nil, err
	}
	head := 20
	if from.Is6() {
		head = 40
	}
	length := max(q.Length, head+len(l4))
	if length > 1<<16-1 {
		return nil, fmt.Errorf("a packet has at most 65535 bytes, not %d", q.Length)
	}
	frame := make([]byte, 14+length)
	copy(frame, mac[:])
	ttl := q.TTL
	if ttl == 0 {
		ttl = 64
	}
	if from.Is4() {
		ipv4Head(frame[12:], uint16(length), ttl, uint8(q.Protocol), from, to)
	} else {
		ipv6Head(frame[12:], uint16(length-head), ttl, uint8(q.Protocol), from, to)
	}
	copy(frame[14+head:], l4)
	return frame, nil
}

// ipv4Head writes the EtherType and an IPv4 header with DF (RFC 791).
func ipv4Head(b []byte, length uint16, ttl, protocol uint8, from, to netip.Addr) {
	binary.BigEndian.PutUint16(b, 0x0800)
	ip := b[2:22]
	ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, ttl, protocol
	binary.BigEndian.PutUint16(ip[2:], length)
	copy(ip[12:], from.AsSlice())
	copy(ip[16:], to.AsSlice())
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
}

// ipv6Head writes the EtherType and an IPv6 header (RFC 8200).
func ipv6Head(b []byte, payload uint16, hops, next uint8, from, to netip.Addr) {
	binary.BigEndian.PutUint16(b, 0x86dd)
	ip := b[2:42]
	ip[0], ip[6], ip[7] = 0x60, next, hops
	binary.BigEndian.PutUint16(ip[4:], payload)
	copy(ip[8:], from.AsSlice())
	copy(ip[24:], to.AsSlice())
}

func probeTransport(q lvs.Probe) ([]byte, error) {
	var b []byte
	switch q.Protocol {
	case lvs.TCP:
		b = make([]byte, 20)
		b[12] = 5 << 4
		flags := strings.ToUpper(q.Flags)
		if flags == "" {
			flags = "S"
		}
		for _, f := range flags {
			bit := strings.IndexRune("FSRPA", f)
			if bit < 0 {
				return nil, fmt.Errorf("unknown TCP flag %q; use letters of S A F R P", f)
			}
			b[13] |= 1 << bit
		}
	case lvs.UDP:
		b = make([]byte, 8)
		binary.BigEndian.PutUint16(b[4:], 8)
	case lvs.SCTP:
		b = make([]byte, 16)
		b[12], b[15] = 1, 4 // INIT, and nothing in it
	case lvs.ESP:
		return make([]byte, 8), nil
	case lvs.AH:
		return []byte{59, 4, 23: 0}, nil // nothing follows
	default:
		return nil, fmt.Errorf("protocol %s is not balanced; use tcp, udp, sctp, esp or ah", q.Protocol)
	}
	binary.BigEndian.PutUint16(b, q.From.Port())
	binary.BigEndian.PutUint16(b[2:], q.To.Port())
	return b, nil
}
