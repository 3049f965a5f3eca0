package vrrp

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// What the header holds (RFC 9568, 5.2; RFC 3768, 5.3).
const (
	Protocol = 112 // of IP
	TTL      = 255 // of every advert: one that a router has forwarded has less

	headerSize = 8
	authSize   = 8 // of version 2, be there a password or not
	typeAdvert = 1
	authNone   = 0
	authSimple = 1
)

// The groups every router of a segment listens to.
var (
	Group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	Group6 = netip.MustParseAddr("ff02::12")
)

// An Advert is what an active router says of itself.
type Advert struct {
	Version   uint8
	ID        uint8
	Priority  uint8 // 0: it gives the addresses up
	Interval  time.Duration
	Addresses []netip.Addr // all of the family of the packet
	Password  string       // version 2; empty: no authentication
}

// Why a packet is no advert for anybody here.
var (
	errShort    = errors.New("cut short")
	errLength   = errors.New("of another length than its addresses take")
	errVersion  = errors.New("of a VRRP version other than 2 and 3")
	errType     = errors.New("no advertisement")
	errChecksum = errors.New("its checksum is wrong")
	errAuth     = errors.New("of an authentication other than none and a password")
)

// Append writes a as a packet from one address to another; version 3 sums them,
// too (RFC 9568, 5.2.8).
func (a Advert) Append(b []byte, from, to netip.Addr) []byte {
	at := len(b)
	b = append(b, a.Version<<4|typeAdvert, a.ID, a.Priority, uint8(len(a.Addresses)))
	auth := uint8(authNone)
	if a.Version == 2 {
		if a.Password != "" {
			auth = authSimple
		}
		b = append(b, auth, uint8(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/(10*time.Millisecond))&0x0fff)
	}
	b = append(b, 0, 0) // the sum
	for _, addr := range a.Addresses {
		b = append(b, addr.AsSlice()...)
	}
	if a.Version == 2 {
		var word [authSize]byte
		copy(word[:], a.Password)
		b = append(b, word[:]...)
	}
	binary.BigEndian.PutUint16(b[at+6:], sum(b[at:], a.Version, from, to))
	return b
}

// ParseAdvert reads a packet's payload. What it returns besides an error is
// only good for telling whom it came from.
func ParseAdvert(b []byte, from, to netip.Addr) (a Advert, err error) {
	if len(b) < headerSize {
		return a, errShort
	}
	a.Version, a.ID, a.Priority = b[0]>>4, b[1], b[2]
	if a.Version != 2 && a.Version != 3 {
		return a, errVersion
	}
	if b[0]&0x0f != typeAdvert {
		return a, errType
	}
	size, want := 4, headerSize
	if from.Is6() {
		size = 16
	}
	count := int(b[3])
	want += count * size
	if a.Version == 2 {
		want += authSize
	}
	if len(b) < want {
		return a, errShort
	}
	if len(b) != want && !padded(b[want:]) {
		return a, errLength
	}
	b = b[:want]
	if err := a.timing(b); err != nil {
		return a, err
	}
	if !summed(b, a.Version, from, to) {
		return a, errChecksum
	}
	for i := range count {
		addr, _ := netip.AddrFromSlice(b[headerSize+i*size : headerSize+(i+1)*size])
		a.Addresses = append(a.Addresses, addr)
	}
	return a, nil
}

// timing reads the two bytes that the versions use differently.
func (a *Advert) timing(b []byte) error {
	if a.Version == 3 {
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * 10 * time.Millisecond
		return nil
	}
	a.Interval = time.Duration(b[5]) * time.Second
	switch b[4] {
	case authNone:
	case authSimple:
		word := b[len(b)-authSize:]
		for len(word) > 0 && word[len(word)-1] == 0 {
			word = word[:len(word)-1]
		}
		a.Password = string(word)
	default:
		return errAuth
	}
	return nil
}

// padded tells that nothing follows but what Ethernet fills short frames with.
func padded(rest []byte) bool {
	const most = 46 - 20 - headerSize
	return len(rest) <= most && allZero(rest)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// samePassword compares without telling how much of it is right.
func samePassword(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// summed tells whether the sum in b is right. Old keepalived sums the multicast
// group in packets it sends to one peer, and some makers of routers leave the
// addresses out in version 3; a packet that is right in one of these ways is
// what its sender meant.
func summed(b []byte, version uint8, from, to netip.Addr) bool {
	have := binary.BigEndian.Uint16(b[6:])
	if sum(b, version, from, to) == have {
		return true
	}
	if version == 2 {
		return false
	}
	if from.Is6() {
		return false // the kernel itself has looked
	}
	return sum(b, version, from, Group4) == have || sum(b, 2, from, to) == have
}

// sum is the Internet checksum of b with its own field as zero; in version 3
// over the addresses, too.
func sum(b []byte, version uint8, from, to netip.Addr) uint16 {
	var s uint32
	add := func(b []byte) {
		for len(b) >= 2 {
			s += uint32(binary.BigEndian.Uint16(b))
			b = b[2:]
		}
	}
	add(b)
	s -= uint32(binary.BigEndian.Uint16(b[6:]))
	if version == 3 {
		add(from.AsSlice())
		add(to.AsSlice())
		s += Protocol + uint32(len(b))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
