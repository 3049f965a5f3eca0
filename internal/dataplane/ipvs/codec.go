package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// errCodec says that the kernel's words could not be read.
var errCodec = errors.New("the kernel's IPVS said something weir cannot read")

// A service is a virtual service as messages have it.
type service struct {
	lvs.Service // without destinations
	lvs.Counters
	rates lvs.Rates
}

// A destination is a destination as messages have it.
type destination struct {
	lvs.Destination
	lvs.DestinationCounters
}

// each visits the attributes in b. What visit does not know it leaves alone.
func each(b []byte, visit func(d *netlink.AttributeDecoder)) error {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errCodec, err)
	}
	for d.Next() {
		visit(d)
	}
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %w", errCodec, err)
	}
	return nil
}

// encode is what write puts into a message.
func encode(write func(e *netlink.AttributeEncoder)) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	write(e)
	b, err := e.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode for the kernel's IPVS: %w", err)
	}
	return b, nil
}

// nested puts what write writes into an attribute of its own.
func nested(e *netlink.AttributeEncoder, attr uint16, write func(e *netlink.AttributeEncoder)) {
	e.Nested(attr, func(n *netlink.AttributeEncoder) error {
		write(n)
		return nil
	})
}

// bigPort is a port in network order.
func bigPort(e *netlink.AttributeEncoder, attr, port uint16) {
	e.Bytes(attr, binary.BigEndian.AppendUint16(nil, port))
}

// portOf reads what bigPort writes; anything of another length is port 0,
// which the caller has no use for.
func portOf(b []byte) uint16 {
	if len(b) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// union is an address in the sixteen bytes of union nf_inet_addr: an IPv4
// address stands in the first four.
func union(e *netlink.AttributeEncoder, attr uint16, a netip.Addr) {
	b := make([]byte, 16)
	copy(b, a.AsSlice())
	e.Bytes(attr, b)
}

// addrOf reads what union writes.
func addrOf(b []byte, af uint16) (netip.Addr, bool) {
	switch {
	case af == afInet && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b[:4])), true
	case af == afInet6 && len(b) >= 16:
		a := netip.AddrFrom16([16]byte(b[:16]))
		return a, !a.Is4In6() // weir takes those for IPv4
	}
	return netip.Addr{}, false
}

func familyOf(f lvs.Family) uint16 {
	if f == lvs.IPv6 {
		return afInet6
	}
	return afInet
}

// encodeKey is the part of a service that names it.
func encodeKey(e *netlink.AttributeEncoder, k lvs.ServiceKey) {
	e.Uint16(svcFamily, familyOf(k.AF()))
	if k.Mark != 0 {
		e.Uint32(svcMark, k.Mark)
		return
	}
	e.Uint16(svcProtocol, uint16(k.Protocol))
	union(e, svcAddr, k.Addr.Addr())
	bigPort(e, svcPort, k.Addr.Port())
}

// encodeService is the whole of a service but its destinations.
func encodeService(e *netlink.AttributeEncoder, s lvs.Service) {
	encodeKey(e, s.Key)
	e.String(svcScheduler, string(s.Scheduler))
	if s.Persistence.Engine != "" {
		e.String(svcEngine, s.Persistence.Engine)
	}
	flags := uint32(s.SchedFlags) << schedShift & flagSched
	if s.Persistence.Timeout != 0 {
		flags |= flagPersistent
	}
	if s.OnePacket {
		flags |= flagOnePacket
	}
	var both [8]byte // what the flags are, and which of them are said
	binary.NativeEndian.PutUint32(both[:4], flags)
	binary.NativeEndian.PutUint32(both[4:], ^uint32(0))
	e.Bytes(svcFlags, both[:])
	e.Uint32(svcTimeout, s.Persistence.Timeout)
	encodeMask(e, s)
}

// encodeMask writes a netmask for IPv4 and a number of bits for IPv6.
func encodeMask(e *netlink.AttributeEncoder, s lvs.Service) {
	p := s.Persistence
	if p.Timeout == 0 || !p.Mask.IsValid() {
		p.Mask = lvs.MaskOf(s.Key.AF(), s.Key.AddressBits())
	}
	if p.Mask.Is4() {
		e.Bytes(svcNetmask, p.Mask.AsSlice())
		return
	}
	bits, _ := p.Prefix() // the kernel knows no IPv6 masks with holes, nor does plan
	e.Uint32(svcNetmask, uint32(bits))
}

// decodeService reads a service.
func decodeService(b []byte) (service, error) {
	var s service
	var af, protocol uint16
	var addr, mask []byte
	var flags uint32
	var narrow, wide []byte
	err := each(b, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case svcFamily:
			af = d.Uint16()
		case svcProtocol:
			protocol = d.Uint16()
		case svcAddr:
			addr = d.Bytes()
		case svcPort:
			s.Key.Addr = netip.AddrPortFrom(netip.Addr{}, portOf(d.Bytes()))
		case svcMark:
			s.Key.Mark = d.Uint32()
		case svcScheduler:
			s.Scheduler = lvs.Scheduler(d.String())
		case svcEngine:
			s.Persistence.Engine = d.String()
		case svcFlags:
			if f := d.Bytes(); len(f) >= 4 {
				flags = binary.NativeEndian.Uint32(f)
			}
		case svcTimeout:
			s.Persistence.Timeout = d.Uint32()
		case svcNetmask:
			mask = d.Bytes()
		case svcStats:
			narrow = d.Bytes()
		case svcStats64:
			wide = d.Bytes()
		}
	})
	if err == nil {
		err = s.settleKey(af, protocol, addr)
	}
	if err != nil {
		return s, err
	}
	if len(s.Scheduler) > maxName || len(s.Persistence.Engine) > maxName {
		return s, fmt.Errorf("%w: a name of more than %d letters", errCodec, maxName)
	}
	s.SchedFlags = uint8(flags & flagSched >> schedShift)
	s.OnePacket = flags&flagOnePacket != 0
	if err := s.settlePersistence(flags, mask); err != nil {
		return s, err
	}
	s.Counters, s.rates, err = decodeStats(narrow, wide)
	return s, err
}

// settleKey makes a key of its parts.
func (s *service) settleKey(af, protocol uint16, addr []byte) error {
	k := &s.Key
	if af != afInet && af != afInet6 {
		return fmt.Errorf("%w: a service of address family %d", errCodec, af)
	}
	if k.Mark != 0 {
		*k = lvs.ServiceKey{Mark: k.Mark, Family: lvs.IPv4}
		if af == afInet6 {
			k.Family = lvs.IPv6
		}
		return nil
	}
	a, ok := addrOf(addr, af)
	if !ok || protocol == 0 || protocol > 255 {
		return fmt.Errorf("%w: a service of protocol %d at an address of %d bytes", errCodec, protocol, len(addr))
	}
	k.Protocol, k.Addr = lvs.Protocol(protocol), netip.AddrPortFrom(a, k.Addr.Port())
	return nil
}

func (s *service) settlePersistence(flags uint32, mask []byte) error {
	p := &s.Persistence
	if flags&flagPersistent == 0 || p.Timeout == 0 {
		*p = lvs.Persistence{}
		return nil
	}
	if len(mask) != 4 {
		return fmt.Errorf("%w: a netmask of %d bytes", errCodec, len(mask))
	}
	if s.Key.AF() == lvs.IPv4 {
		p.Mask = netip.AddrFrom4([4]byte(mask))
		return nil
	}
	bits := binary.NativeEndian.Uint32(mask)
	if bits > 128 {
		return fmt.Errorf("%w: a prefix of %d bits", errCodec, bits)
	}
	p.Mask = lvs.MaskOf(lvs.IPv6, int(bits))
	return nil
}
