package conformance

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// sctp is an SCTP packet with its chunks (RFC 9260).
func (pkt Packet) sctp() []byte {
	b := make([]byte, 12)
	binary.BigEndian.PutUint16(b, pkt.Src.Port())
	binary.BigEndian.PutUint16(b[2:], pkt.Dst.Port())
	binary.BigEndian.PutUint32(b[4:], 1)
	for i, kind := range pkt.Chunks {
		size := 4
		if i+1 == len(pkt.Chunks) {
			size += pkt.Data
		}
		b = append(b, kind, 0, byte(size>>8), byte(size))
	}
	for i := range pkt.Data {
		b = append(b, 'a'+byte(i%26))
	}
	sum := sctpSum(b)
	if pkt.BadSum {
		sum ^= 0x5555
	}
	binary.LittleEndian.PutUint32(b[8:], sum)
	return b
}

// sctpSum is the CRC32c of a packet, its own field taken as zero.
func sctpSum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[:8])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, b[12:])
}

func sctpWords(w *strings.Builder, h header, quoted bool) {
	w.WriteString(" sctp")
	for at := 12; at+4 <= len(h.body); {
		kind, size := h.body[at], int(binary.BigEndian.Uint16(h.body[at+2:]))
		if int(kind) < len(chunkNames) {
			w.WriteString(" " + chunkNames[kind])
		} else {
			fmt.Fprintf(w, " chunk %d", kind)
		}
		at += max(4, (size+3)&^3)
	}
	if !quoted && !h.more && binary.LittleEndian.Uint32(h.body[8:]) != sctpSum(h.body) {
		w.WriteString(" WRONG checksum")
	}
}
