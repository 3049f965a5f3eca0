package health

import (
	"bytes"
	"encoding/binary"

	"github.com/weir-lb/weir/internal/lvs"
)

// An echo is one question of a ping: RFC 792 and RFC 4443, section 4.
type echo struct {
	family lvs.Family
	id     uint16
	seq    uint16
	data   []byte
}

// ICMP types by family.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

const echoHeader = 8

// request is the message to send. The kernel fills in the checksum of ICMPv6,
// which covers addresses only it knows; the other is made here.
func (e echo) request() []byte {
	msg := make([]byte, echoHeader, echoHeader+len(e.data))
	msg[0] = echoRequest4
	if e.family == lvs.IPv6 {
		msg[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(msg[4:], e.id)
	binary.BigEndian.PutUint16(msg[6:], e.seq)
	msg = append(msg, e.data...)
	if e.family == lvs.IPv4 {
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
	}
	return msg
}

// answeredBy tells whether msg is the answer to e. A ping socket has an
// identifier of its own and hands over only what carries it, so there the
// identifier does not count.
func (e echo) answeredBy(msg []byte, ownID bool) bool {
	if len(msg) < echoHeader {
		return false
	}
	want := byte(echoReply4)
	if e.family == lvs.IPv6 {
		want = echoReply6
	}
	return msg[0] == want && msg[1] == 0 &&
		(ownID || binary.BigEndian.Uint16(msg[4:]) == e.id) &&
		binary.BigEndian.Uint16(msg[6:]) == e.seq &&
		bytes.Equal(msg[echoHeader:], e.data) &&
		(e.family == lvs.IPv6 || checksum(msg) == 0)
}

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
