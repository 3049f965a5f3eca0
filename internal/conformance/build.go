package conformance

import (
	"cmp"
	"encoding/binary"
)

// Bytes is the packet from its IP header on, complete and with its checksums.
func (pkt Packet) Bytes() []byte {
	pkt = pkt.tunnelled()
	body := pkt.transport()
	if pkt.Signed {
		body = append(authentication(pkt.Protocol), body...)
		pkt.Protocol = protoAH
	}
	if pkt.Fragment {
		// Data says how long the piece is; the datagram is large enough for it.
		end := len(body)
		if pkt.More {
			end = min(end, pkt.From+(pkt.pieceSize()))
		}
		body = body[min(pkt.From, end):end]
	}
	var out []byte
	if pkt.Src.Addr().Is4() {
		out = pkt.ipv4(body)
	} else {
		out = pkt.ipv6(body)
	}
	return out[:len(out)-min(pkt.Cut, len(out))]
}

// authentication is an AH header before a packet of the protocol (RFC 4302),
// with a signature nobody checks.
func authentication(protocol uint8) []byte {
	b := make([]byte, 24)
	b[0], b[1] = protocol, byte(len(b)/4-2)
	binary.BigEndian.PutUint32(b[4:], 0x1001)
	binary.BigEndian.PutUint32(b[8:], 1)
	copy(b[12:], "weir signs..")
	return b
}

// pieceSize is how much a fragment with more to come carries.
func (pkt Packet) pieceSize() int { return 1024 }

// tunnelled is pkt with the protocol of its tunnel.
func (pkt Packet) tunnelled() Packet {
	if pkt.Carried == nil {
		return pkt
	}
	pkt.Protocol = protoIPIP
	if pkt.Carried.Src.Addr().Is6() {
		pkt.Protocol = protoIPv6
	}
	switch pkt.Tunnel {
	case "gue":
		pkt.Protocol = protoUDP
	case "gre", "gresum":
		pkt.Protocol = protoGRE
	}
	return pkt
}

// tunnel is what follows the IP header of a tunnel packet: without checksums,
// since only errors quote such packets.
func (pkt Packet) tunnel() []byte {
	inner := pkt.Carried.Bytes()
	proto, ether := byte(protoIPIP), []byte{0x08, 0x00}
	if pkt.Carried.Src.Addr().Is6() {
		proto, ether = protoIPv6, []byte{0x86, 0xdd}
	}
	var b []byte
	switch pkt.Tunnel {
	case "gue":
		b = make([]byte, 12)
		binary.BigEndian.PutUint16(b, pkt.Src.Port())
		binary.BigEndian.PutUint16(b[2:], pkt.Dst.Port())
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)+len(inner)))
		b[9] = proto
	case "gre":
		b = append([]byte{0, 0}, ether...)
	case "gresum":
		b = append(append([]byte{0x80, 0}, ether...), 1, 2, 0, 0)
	}
	return append(b, inner...)
}

func (pkt Packet) ipv4(body []byte) []byte {
	h := make([]byte, 20)
	if pkt.Options {
		h = append(h, 1, 1, 1, 0) // no operation, thrice, and the end
	}
	h[0] = 0x40 | byte(len(h)/4)
	h[1] = pkt.TOS
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(body)))
	binary.BigEndian.PutUint16(h[4:], uint16(pkt.ID))
	frag := uint16(pkt.From / 8)
	if pkt.DF {
		frag |= 0x4000
	}
	if pkt.More {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(h[6:], frag)
	h[8], h[9] = pkt.TTL, pkt.Protocol
	copy(h[12:], pkt.Src.Addr().AsSlice())
	copy(h[16:], pkt.Dst.Addr().AsSlice())
	check := ^sum(0, h)
	if pkt.BadHead {
		check ^= 0x5555
	}
	binary.BigEndian.PutUint16(h[10:], check)
	return append(h, body...)
}

func (pkt Packet) ipv6(body []byte) []byte {
	next := pkt.Protocol
	var ext []byte
	if pkt.Fragment {
		f := make([]byte, 8)
		f[0] = next
		word := uint16(pkt.From)
		if pkt.More {
			word |= 1
		}
		binary.BigEndian.PutUint16(f[2:], word)
		binary.BigEndian.PutUint32(f[4:], pkt.ID)
		ext, next = append(f, ext...), 44
	}
	if pkt.Options {
		ext, next = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, ext...), 60
	}
	h := make([]byte, 40)
	h[0] = 0x60 | pkt.TOS>>4
	h[1] = pkt.TOS << 4
	binary.BigEndian.PutUint16(h[4:], uint16(len(ext)+len(body)))
	h[6], h[7] = next, pkt.TTL
	copy(h[8:], pkt.Src.Addr().AsSlice())
	copy(h[24:], pkt.Dst.Addr().AsSlice())
	return append(append(h, ext...), body...)
}

// transport is what follows the IP headers.
func (pkt Packet) transport() []byte {
	var b []byte
	check := 0
	if pkt.Carried != nil {
		return pkt.tunnel()
	}
	switch pkt.Protocol {
	case protoTCP:
		b, check = make([]byte, 20), 16
		binary.BigEndian.PutUint16(b, pkt.Src.Port())
		binary.BigEndian.PutUint16(b[2:], pkt.Dst.Port())
		binary.BigEndian.PutUint32(b[4:], uint32(cmp.Or(pkt.Seq, 1000)))
		if pkt.Flags&0x10 != 0 {
			binary.BigEndian.PutUint32(b[8:], uint32(cmp.Or(pkt.Ack, 2000)))
		}
		b[12], b[13] = 5<<4, pkt.Flags
		binary.BigEndian.PutUint16(b[14:], 1000)
	case protoUDP:
		b, check = make([]byte, 8), 6
		binary.BigEndian.PutUint16(b, pkt.Src.Port())
		binary.BigEndian.PutUint16(b[2:], pkt.Dst.Port())
		binary.BigEndian.PutUint16(b[4:], uint16(8+pkt.Data))
	case protoSCTP:
		return pkt.sctp()
	case protoESP:
		return pkt.esp()
	default:
		b, check = pkt.icmp(), 2
	}
	b = append(b, pkt.Text...)
	for i := range pkt.Data - len(pkt.Text) {
		b = append(b, 'a'+byte(i%26))
	}
	c := ^sum(pkt.pseudo(len(b)), b)
	if c == 0 && pkt.Protocol == protoUDP {
		c = 0xffff
	}
	if pkt.BadSum {
		c ^= 0x5555
	}
	if !pkt.NoSum {
		binary.BigEndian.PutUint16(b[check:], c)
	}
	return b
}

// esp is an ESP packet (RFC 4303); what it holds cannot be read.
func (pkt Packet) esp() []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint32(b, 0x1001)
	binary.BigEndian.PutUint32(b[4:], 1)
	for i := range pkt.Data {
		b = append(b, 'a'+byte(i%26))
	}
	return b
}

func (pkt Packet) icmp() []byte {
	b := make([]byte, 8)
	b[0], b[1] = pkt.Type, pkt.Code
	binary.BigEndian.PutUint32(b[4:], uint32(pkt.MTU))
	if pkt.Quote != nil {
		q := pkt.Quote.Bytes()
		if pkt.Quoted != 0 {
			q = q[:min(pkt.Quoted, len(q))]
		}
		b = append(b, q...)
	}
	return b
}

// pseudo is the sum of the pseudo header; ICMPv4 has none.
func (pkt Packet) pseudo(length int) uint32 {
	if pkt.Protocol == protoICMP {
		return 0
	}
	return pseudo(pkt.Src.Addr().AsSlice(), pkt.Dst.Addr().AsSlice(), pkt.Protocol, length)
}

func pseudo(src, dst []byte, protocol uint8, length int) uint32 {
	return uint32(sum(0, src)) + uint32(sum(0, dst)) + uint32(protocol) + uint32(length)
}

// sum is the ones' complement sum over b, begun with start (RFC 1071).
func sum(start uint32, b []byte) uint16 {
	s := uint64(start)
	for i := 0; i+1 < len(b); i += 2 {
		s += uint64(b[i])<<8 | uint64(b[i+1])
	}
	if len(b)%2 != 0 {
		s += uint64(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
