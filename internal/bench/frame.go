package bench

import (
	"encoding/binary"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// frameLength is that of every frame that is measured: the shortest that has
// room for all headers.
const frameLength = 80

// A frame is one packet's template. Its client's address ends in zeros, where
// the dispatcher puts the flow.
type frame struct {
	protocol lvs.Protocol
	from, to netip.AddrPort
	flags    uint8 // of TCP
}

// The flags of a TCP segment.
const (
	syn = 0x02
	ack = 0x10
)

// directorMAC is all zeros, as the loopback device's address, where test-run
// packets arrive.
var directorMAC, serverMAC = [6]byte{}, [6]byte{2, 0, 0, 0, 0, 7}

func (f frame) bytes() []byte {
	b := make([]byte, frameLength)
	copy(b, directorMAC[:])
	copy(b[6:], serverMAC[:])
	head := 20
	if f.from.Addr().Is4() {
		ipv4(b[12:], f)
	} else {
		head = 40
		ipv6(b[12:], f)
	}
	l4 := b[14+head:]
	binary.BigEndian.PutUint16(l4, f.from.Port())
	binary.BigEndian.PutUint16(l4[2:], f.to.Port())
	check := l4[16:]
	if f.protocol == lvs.UDP {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		check = l4[6:]
	} else {
		l4[12], l4[13] = 5<<4, f.flags
	}
	pseudo := binary.BigEndian.AppendUint16(nil, uint16(len(l4)))
	pseudo = append(pseudo, 0, byte(f.protocol))
	pseudo = append(append(pseudo, f.from.Addr().AsSlice()...), f.to.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(check, ^folded(append(pseudo, l4...)))
	return b
}

func ipv4(b []byte, f frame) {
	binary.BigEndian.PutUint16(b, 0x0800)
	ip := b[2:22]
	ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, 64, byte(f.protocol)
	binary.BigEndian.PutUint16(ip[2:], frameLength-14)
	copy(ip[12:], f.from.Addr().AsSlice())
	copy(ip[16:], f.to.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^folded(ip))
}

func ipv6(b []byte, f frame) {
	binary.BigEndian.PutUint16(b, 0x86dd)
	ip := b[2:42]
	ip[0], ip[6], ip[7] = 0x60, byte(f.protocol), 64
	binary.BigEndian.PutUint16(ip[4:], frameLength-14-40)
	copy(ip[8:], f.from.Addr().AsSlice())
	copy(ip[24:], f.to.Addr().AsSlice())
}

// folded is the sum of RFC 1071 of an even number of bytes.
func folded(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// course says which end of the packet is the client's.
func (f frame) course(reply bool) dispatcherCourse {
	switch {
	case f.from.Addr().Is4() && !reply:
		return dispatcherCourseREQUEST4
	case f.from.Addr().Is4():
		return dispatcherCourseREPLY4
	case !reply:
		return dispatcherCourseREQUEST6
	}
	return dispatcherCourseREPLY6
}
