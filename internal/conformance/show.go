package conformance

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// guePort is the port of GUE in scenarios.
const guePort = 6080

// Words describes a packet as parsePacket reads it, so that a person can
// compare two. It is not complete: bytes are compared beside it.
func (p Place) Words(b []byte) string { return p.words(b, false) }

// words describes a packet, or the part of one that an ICMP error quotes,
// whose end may be missing.
func (p Place) words(b []byte, quoted bool) string {
	if len(b) < 20 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	h, ok := headers(b)
	if !ok {
		return fmt.Sprintf("IP that cannot be read: %x", b)
	}
	var w strings.Builder
	port := func(at int) string {
		if !h.first || len(h.body) < at+2 || h.protocol != protoTCP && h.protocol != protoUDP && h.protocol != protoSCTP {
			return ""
		}
		return fmt.Sprintf(":%d", binary.BigEndian.Uint16(h.body[at:]))
	}
	fmt.Fprintf(&w, "%s%s > %s%s", p.Name(h.src), port(0), p.Name(h.dst), port(2))
	if h.first {
		p.transportWords(&w, h, quoted)
	} else {
		fmt.Fprintf(&w, " later part of protocol %d", h.protocol)
	}
	fmt.Fprintf(&w, " ttl=%d len=%d", h.ttl, len(b))
	for _, s := range []struct {
		on   bool
		text string
	}{
		{h.signed, " ah"}, {h.tos != 0, fmt.Sprintf(" tos=%d", h.tos)}, {h.df, " df"}, {h.more, " more"},
		{h.from != 0, fmt.Sprintf(" from=%d", h.from)}, {h.badSum, " WRONG IP checksum"}, {h.odd, " WRONG length"},
	} {
		if s.on {
			w.WriteString(s.text)
		}
	}
	return w.String()
}

func (p Place) transportWords(w *strings.Builder, h header, quoted bool) {
	b := h.body
	switch {
	case h.protocol == protoTCP && len(b) >= 14:
		fmt.Fprintf(w, " tcp")
		for bit, name := range tcpFlags {
			if b[13]&(1<<bit) != 0 {
				w.WriteString(" " + name)
			}
		}
		p.checksum(w, h, 16, quoted)
	case h.protocol == protoUDP && len(b) >= 8:
		w.WriteString(" udp")
		p.checksum(w, h, 6, quoted)
		if h.gue() {
			fmt.Fprintf(w, " gue %x (%s)", b[8:12], p.words(b[12:], quoted))
		}
	case h.protocol == protoSCTP && len(b) >= 12:
		sctpWords(w, h, quoted)
	case h.protocol == protoESP && len(b) >= 8:
		w.WriteString(" esp")
	case h.protocol == protoAH && len(b) >= 12:
		w.WriteString(" ah")
	case h.protocol == protoGRE && len(b) >= 4:
		size := 4
		w.WriteString(" gre")
		if b[0]&0x80 != 0 {
			size = 8
			p.checksum(w, h, 4, quoted)
		}
		fmt.Fprintf(w, " %x (%s)", b[:4], p.words(b[min(size, len(b)):], quoted))
	case (h.protocol == protoICMP || h.protocol == protoICMPv6) && len(b) >= 8:
		fmt.Fprintf(w, " icmp %d/%d", b[0], b[1])
		if n := binary.BigEndian.Uint32(b[4:]); n != 0 {
			fmt.Fprintf(w, " mtu=%d", n)
		}
		p.checksum(w, h, 2, quoted)
		if isError(h) {
			fmt.Fprintf(w, " quoting (%s)", p.words(b[8:], true))
		}
	case h.protocol == protoIPIP || h.protocol == protoIPv6:
		fmt.Fprintf(w, " ipip (%s)", p.words(b, quoted))
	case len(b) >= 4:
		fmt.Fprintf(w, " protocol %d, %d bytes", h.protocol, len(b))
	}
}

func isError(h header) bool {
	t := h.body[0]
	return h.protocol == protoICMPv6 && t < 128 || h.protocol == protoICMP && (t == 3 || t == 4 || t == 11)
}

// checksum says whether the transport checksum is right. That of a quoted
// packet never is after a rewrite, and its end may be missing: not looked at.
func (p Place) checksum(w *strings.Builder, h header, at int, quoted bool) {
	if quoted || h.more || len(h.body) < at+2 {
		return
	}
	if h.protocol == protoUDP && binary.BigEndian.Uint16(h.body[at:]) == 0 {
		w.WriteString(" nosum")
		return
	}
	start := uint32(0)
	if h.protocol != protoICMP && h.protocol != protoGRE {
		start = pseudo(h.src.AsSlice(), h.dst.AsSlice(), h.protocol, len(h.body))
	}
	if sum(start, h.body) != 0xffff {
		w.WriteString(" WRONG checksum")
	}
}

// A header is what an IP header says.
type header struct {
	src, dst netip.Addr
	protocol uint8
	ttl, tos uint8
	from     int
	first    bool // not a later fragment
	df, more bool
	signed   bool // IPv6: an authentication header was on the way
	badSum   bool
	odd      bool // the length is not what the header says
	body     []byte
}

// gue tells whether this is a tunnel packet to guePort, all of it.
func (h header) gue() bool {
	return h.protocol == protoUDP && h.first && !h.more && len(h.body) >= 12 && binary.BigEndian.Uint16(h.body[2:]) == guePort
}

func headers(b []byte) (h header, ok bool) {
	switch b[0] >> 4 {
	case 4:
		return headers4(b)
	case 6:
		return headers6(b)
	}
	return h, false
}

func headers4(b []byte) (h header, ok bool) {
	n := int(b[0]&15) * 4
	if n < 20 || len(b) < n {
		return h, false
	}
	word := binary.BigEndian.Uint16(b[6:])
	h = header{protocol: b[9], ttl: b[8], tos: b[1], from: int(word&0x1fff) * 8, df: word&0x4000 != 0, more: word&0x2000 != 0,
		badSum: sum(0, b[:n]) != 0xffff, odd: int(binary.BigEndian.Uint16(b[2:])) != len(b), body: b[n:]}
	h.src, h.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	h.first = h.from == 0
	return h, true
}

func headers6(b []byte) (h header, ok bool) {
	if len(b) < 40 {
		return h, false
	}
	h = header{ttl: b[7], tos: b[0]<<4 | b[1]>>4, first: true, odd: int(binary.BigEndian.Uint16(b[4:]))+40 != len(b)}
	h.src, h.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, rest := b[6], b[40:]
	for len(rest) >= 8 && (next == 60 || next == 44 || next == 0 || next == protoAH) {
		size := (int(rest[1]) + 1) * 8
		if next == protoAH {
			h.signed, size = true, (int(rest[1])+2)*4
		}
		if next == 44 {
			word := binary.BigEndian.Uint16(rest[2:])
			h.from, h.more = int(word&^7), word&1 != 0
			h.first, size = h.from == 0, 8
		}
		if len(rest) < size {
			return h, false
		}
		next, rest = rest[0], rest[size:]
	}
	h.protocol, h.body = next, rest
	return h, true
}
