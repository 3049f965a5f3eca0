package lvs

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	mathbits "math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Family is an address family. It matters only where an address is missing:
// a firewall-mark service exists once for each family.
type Family uint8

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf is the family of a. An IPv4-mapped IPv6 address counts as IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// A ServiceKey names a virtual service. It is comparable, so it can be a map
// key. Either Mark is set, with Family, or Protocol and Addr.
type ServiceKey struct {
	Protocol Protocol
	Addr     netip.AddrPort // unset for a firewall-mark service
	Mark     uint32         // zero for an address service
	Family   Family         // of a firewall-mark service; else derived from Addr and zero
}

// AF is the address family the service balances.
func (k ServiceKey) AF() Family {
	if k.Mark != 0 {
		return k.Family
	}
	return FamilyOf(k.Addr.Addr())
}

// AddressBits is how long the service's addresses are: 32 or 128.
func (k ServiceKey) AddressBits() int {
	if k.AF() == IPv6 {
		return 128
	}
	return 32
}

// String is the key in ipvsadm's notation: "-t 192.0.2.1:80", "-f 7 -6".
func (k ServiceKey) String() string {
	if k.Mark != 0 {
		s := "-f " + strconv.FormatUint(uint64(k.Mark), 10)
		if k.Family == IPv6 {
			s += " -6"
		}
		return s
	}
	switch k.Protocol {
	case UDP:
		return "-u " + k.Addr.String()
	case SCTP:
		return "--sctp-service " + k.Addr.String()
	default:
		return "-t " + k.Addr.String()
	}
}

// ParseServiceKey reads what String writes, and "tcp 192.0.2.1:80" or
// "tcp:192.0.2.1:80" as people type it.
func ParseServiceKey(s string) (ServiceKey, error) {
	k, ok := parseServiceKey(s)
	if !ok {
		return ServiceKey{}, fmt.Errorf("not a virtual service: %q; write protocol, address and port: tcp 192.0.2.1:80 or udp [2001:db8::1]:53", s)
	}
	return k, nil
}

func parseServiceKey(s string) (k ServiceKey, ok bool) {
	word, rest, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok {
		if word, rest, ok = strings.Cut(s, ":"); !ok {
			return k, false
		}
	}
	rest = strings.TrimSpace(rest)
	switch word {
	case "-t", "tcp", "TCP":
		k.Protocol = TCP
	case "-u", "udp", "UDP":
		k.Protocol = UDP
	case "--sctp-service", "sctp", "SCTP":
		k.Protocol = SCTP
	case "-f", "fwm", "fwmark":
		text, six := strings.CutSuffix(rest, " -6")
		n, err := strconv.ParseUint(text, 10, 32)
		k.Mark, k.Family = uint32(n), IPv4
		if six {
			k.Family = IPv6
		}
		return k, err == nil && n != 0
	default:
		return k, false
	}
	at, err := netip.ParseAddrPort(rest)
	k.Addr = at
	return k, err == nil
}

// MarshalText lets a key be a JSON value and map key.
func (k ServiceKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseServiceKey for decoders.
func (k *ServiceKey) UnmarshalText(b []byte) (err error) {
	*k, err = ParseServiceKey(string(b))
	return err
}

// Compare orders keys for lists: marks last, then family, address, port, protocol.
func (k ServiceKey) Compare(o ServiceKey) int {
	return cmp.Or(cmp.Compare(k.Mark, o.Mark), cmp.Compare(k.Family, o.Family),
		k.Addr.Compare(o.Addr), cmp.Compare(k.Protocol, o.Protocol))
}

// A Destination is one real server of one service.
type Destination struct {
	Addr    netip.AddrPort // port 0: keep the packet's destination port
	Forward Forwarding
	Weight  int    // 0: quiesced, keeps its connections, gets no new ones
	Upper   uint32 `json:",omitzero"` // connections (active + inactive) at which it is overloaded; 0: no limit
	Lower   uint32 `json:",omitzero"` // connections below which it is no longer; 0: three quarters of Upper
	Encap   Encap  `json:",omitzero"` // of a tunnel; else zero
}

// Quiesced tells whether d keeps its connections but gets no new ones.
func (d Destination) Quiesced() bool { return d.Weight == 0 }

// String is d as ipvsadm -S writes it: "-r 192.0.2.10:80 -g -w 1".
func (d Destination) String() string {
	s := fmt.Sprintf("-r %s %s -w %d", d.Addr, d.Forward.Flag(), d.Weight)
	if d.Forward == Tunnel && d.Encap != (Encap{}) {
		s += " " + d.Encap.Flags()
	}
	if d.Upper != 0 || d.Lower != 0 {
		s += fmt.Sprintf(" -x %d -y %d", d.Upper, d.Lower)
	}
	return s
}

// A Persistence makes later connections of a client go to the same
// destination. The zero value is no persistence.
type Persistence struct {
	Timeout uint32     // seconds a template lives after its last new connection; 0: not persistent
	Mask    netip.Addr // the bits of the client's address that count, of the service's family
	Engine  string     // what else tells clients apart: "sip", the Call-ID; empty: nothing
}

// MaskOf is the mask of the first bits of an address.
func MaskOf(f Family, bits int) netip.Addr {
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if f == IPv6 {
		all = netip.AddrFrom16([16]byte(bytes.Repeat([]byte{255}, 16)))
	}
	p, err := all.Prefix(bits)
	if err != nil {
		return all // more bits than there are
	}
	return p.Masked().Addr()
}

// Prefix is how many bits the mask covers; false for a mask with holes, which
// IPVS takes for IPv4.
func (p Persistence) Prefix() (int, bool) {
	bits, raw := 0, p.Mask.AsSlice()
	for _, b := range raw {
		bits += mathbits.OnesCount8(b)
	}
	return bits, len(raw) > 0 && MaskOf(FamilyOf(p.Mask), bits) == p.Mask
}

// Whole tells whether every bit of the client's address counts.
func (p Persistence) Whole() bool {
	bits, _ := p.Prefix()
	return bits == p.Mask.BitLen()
}

// A Service is a virtual service with its destinations.
//
// Destinations are in list order as the kernel's IPVS keeps them: the first
// is the one added last. Schedulers walk them in this order.
type Service struct {
	Key          ServiceKey
	Scheduler    Scheduler
	SchedFlags   uint8       // bits 0–2: flag-1 … flag-3 (sh-fallback/mh-fallback is 1, sh-port/mh-port is 2)
	Persistence  Persistence // zero: none
	OnePacket    bool
	Destinations []Destination
}

// Equal tells whether s and o are the same service with the same
// destinations in the same order.
func (s Service) Equal(o Service) bool {
	return s.Key == o.Key && s.Scheduler == o.Scheduler && s.SchedFlags == o.SchedFlags &&
		s.Persistence == o.Persistence && s.OnePacket == o.OnePacket &&
		slices.Equal(s.Destinations, o.Destinations)
}

// Destination finds the destination at addr.
func (s Service) Destination(addr netip.AddrPort) (Destination, bool) {
	i := slices.IndexFunc(s.Destinations, func(d Destination) bool { return d.Addr == addr })
	if i < 0 {
		return Destination{}, false
	}
	return s.Destinations[i], true
}

// Clone is a copy that shares nothing with s.
func (s Service) Clone() Service {
	s.Destinations = slices.Clone(s.Destinations)
	return s
}

// String is the service's own line of ipvsadm -S: "-A -t 192.0.2.1:80 -s wlc".
func (s Service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-A %s -s %s", s.Key, s.Scheduler)
	if p := s.Persistence; p.Timeout != 0 {
		fmt.Fprintf(&b, " -p %d", p.Timeout)
		if !p.Whole() {
			fmt.Fprintf(&b, " -M %s", p.maskText())
		}
		if p.Engine != "" {
			fmt.Fprintf(&b, " --pe %s", p.Engine)
		}
	}
	if s.OnePacket {
		b.WriteString(" -o")
	}
	if flags := FlagNames(s.SchedFlags, s.Scheduler); len(flags) > 0 {
		fmt.Fprintf(&b, " -b %s", strings.Join(flags, ","))
	}
	return b.String()
}

// maskText is the mask as ipvsadm has it: dotted for IPv4, bits for IPv6.
func (p Persistence) maskText() string {
	if p.Mask.Is4() {
		return p.Mask.String()
	}
	bits, _ := p.Prefix()
	return strconv.Itoa(bits)
}

// Lines is the service with its destinations as ipvsadm -S writes them, one
// line each, oldest destination first so that replaying the lines gives the
// same list order.
func (s Service) Lines() []string {
	lines := []string{s.String()}
	for _, d := range slices.Backward(s.Destinations) {
		lines = append(lines, fmt.Sprintf("-a %s %s", s.Key, d))
	}
	return lines
}

// TagOf is a tag of a whole table, whose services are in key order.
func TagOf(table []Service) string {
	h := fnv.New64a()
	for _, s := range table {
		_, _ = h.Write([]byte(s.Tag())) // a hash takes everything
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

// Tag is a short text that is another one once anything about the service or
// its destinations is. The order of destinations does not count.
func (s Service) Tag() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.String())) // a hash takes everything
	sum := mix(h.Sum64())
	for _, d := range s.Destinations {
		sum += d.hash() // in any order the same
	}
	return strconv.FormatUint(sum, 16)
}

// hash is a number that is another one once anything about d is.
func (d Destination) hash() uint64 {
	a := d.Addr.Addr().As16()
	h := mix(binary.BigEndian.Uint64(a[:8]))
	h = mix(h ^ binary.BigEndian.Uint64(a[8:]))
	h = mix(h ^ uint64(d.Addr.Port()) ^ uint64(d.Forward)<<16 ^ uint64(uint32(d.Weight))<<32)
	h = mix(h ^ uint64(d.Upper) ^ uint64(d.Lower)<<32)
	return mix(h ^ uint64(d.Encap.Type) ^ uint64(d.Encap.Checksum)<<16 ^ uint64(d.Encap.Port)<<32)
}
