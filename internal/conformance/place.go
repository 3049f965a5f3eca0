// Package conformance holds weir against the kernel's own IPVS. A scenario, in
// words, says which table stands and which packets are sent; what must come of
// it is written nowhere, it is asked of ip_vs. The same scenario then runs on
// weir's packet engine, and every packet that leaves the director, every
// connection, timer and counter must be the same.
//
// It is test workshop: nothing that ships imports it. It never judges which
// of the two is right; where weir differs on purpose the scenario says so, and
// docs/differences.md says why.
package conformance

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Place gives the names of a scenario their addresses. The machines are
// always the same: clients behind one interface of the director, three real
// servers behind one each. Clients and services have addresses of their own
// in every place, so that nothing an earlier scenario left matters.
type Place struct {
	Number int
	V6     bool
}

const (
	mostClients = 200
	reals       = 3
)

// names are those whose addresses do not depend on a number.
var names = []string{"vip", "vip2", "director", "local", "loop", "nobody"}

// Addr is the address a name stands for: client, client2 …, vip, vip2, rs1 …
// rs3, other1 … other3 (theirs in the other address family), director-rs1 … and
// director-other1 … (the director's on their wires), director (the interface clients are behind), local (another address of
// the director's), loop, nobody.
func (p Place) Addr(name string) (netip.Addr, error) {
	hi, lo := byte(p.Number>>8), byte(p.Number)
	six := func(net uint16, host uint16) netip.Addr {
		a := [16]byte{0xfd, 0, byte(net >> 8), byte(net), hi, lo}
		a[14], a[15] = byte(host>>8), byte(host)
		return netip.AddrFrom16(a)
	}
	pick := func(a [4]byte, b netip.Addr) (netip.Addr, error) {
		if p.V6 {
			return b, nil
		}
		return netip.AddrFrom4(a), nil
	}
	switch name {
	case "vip":
		return pick([4]byte{172, 20 + hi, lo, 100}, six(0xa, 0x100))
	case "vip2":
		return pick([4]byte{172, 20 + hi, lo, 101}, six(0xa, 0x101))
	case "director":
		return p.gateway(0), nil
	case "local":
		return pick([4]byte{10, 2, 0, 1}, netip.MustParseAddr("fd00:2::1"))
	case "loop":
		return pick([4]byte{127, 0, 0, 1}, netip.IPv6Loopback())
	case "nobody":
		return pick([4]byte{203, 0, 113, 7}, netip.MustParseAddr("fd00:dead::7"))
	}
	if n, ok := numbered(name, "client", mostClients); ok {
		return pick([4]byte{10, 20 + hi, lo, byte(8 + n)}, six(0xc, uint16(8+n)))
	}
	if n, ok := numbered(name, "rs", reals); ok {
		return pick([4]byte{10, 1, byte(n), 9}, netip.AddrFrom16([16]byte{0xfd, 0, 0, 0xb, 0, byte(n), 15: 9}))
	}
	if n, ok := numbered(name, "director-rs", reals); ok {
		return p.gateway(n), nil
	}
	if n, ok := numbered(name, "director-other", reals); ok {
		return Place{p.Number, !p.V6}.gateway(n), nil
	}
	if n, ok := numbered(name, "other", reals); ok {
		return Place{p.Number, !p.V6}.Addr(fmt.Sprintf("rs%d", n))
	}
	return netip.Addr{}, fmt.Errorf("no machine is called %q; there are client, client2 …, rs1 – rs%d, other1 – other%d, %s", name, reals, reals, strings.Join(names, ", "))
}

// gateway is the director's address on a real server's wire; that of the
// clients has number 0.
func (p Place) gateway(n int) netip.Addr {
	if p.V6 {
		return netip.AddrFrom16([16]byte{0xfd, 0, 0, 0xb, 0, byte(n), 15: 1})
	}
	return netip.AddrFrom4([4]byte{10, 1, byte(n), 1})
}

// router is the clients' way, and the network of all clients of all places.
func (p Place) router() (netip.Addr, netip.Prefix) {
	if p.V6 {
		return netip.AddrFrom16([16]byte{0xfd, 0, 0, 0xb, 15: 2}), netip.MustParsePrefix("fd00:c::/32")
	}
	return netip.AddrFrom4([4]byte{10, 1, 0, 2}), netip.MustParsePrefix("10.16.0.0/12")
}

// numbered takes the number off a name; none is 1.
func numbered(name, prefix string, most int) (int, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	if rest == "" {
		return 1, prefix == "client"
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && 1 <= n && n <= most && rest == strconv.Itoa(n)
}

// Name is the word for an address, or the address.
func (p Place) Name(a netip.Addr) string {
	if name, ok := p.markName(a); ok {
		return name
	}
	for _, name := range names {
		if have, err := p.Addr(name); err == nil && have == a {
			return name
		}
	}
	for n := 1; n <= reals; n++ {
		name := "rs" + strconv.Itoa(n)
		if have, _ := p.Addr(name); have == a {
			return name
		}
		if p.gateway(n) == a {
			return "director-" + name
		}
		other := Place{p.Number, !p.V6}
		if have, _ := other.Addr(name); have == a {
			return "other" + strconv.Itoa(n)
		}
		if other.gateway(n) == a {
			return "director-other" + strconv.Itoa(n)
		}
	}
	if a.Is4() == !p.V6 {
		first, _ := p.Addr("client")
		b, f := a.AsSlice(), first.AsSlice()
		last := len(b) - 1
		if string(b[:last]) == string(f[:last]) && b[last] > 8 {
			if n := int(b[last]) - 8; n > 1 {
				return "client" + strconv.Itoa(n)
			}
			return "client"
		}
	}
	return a.String()
}

// addrPort reads "client:1025" or "client".
func (p Place) addrPort(s string) (netip.AddrPort, error) {
	name, port, hasPort := strings.Cut(s, ":")
	a, err := p.Addr(name)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !hasPort {
		return netip.AddrPortFrom(a, 0), nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no port", port)
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

func (p Place) nameport(a netip.AddrPort) string {
	return p.Name(a.Addr()) + ":" + strconv.Itoa(int(a.Port()))
}

// serves tells whether a is one of the place's services.
func (p Place) serves(a netip.Addr) bool {
	if _, ok := p.markName(a); ok {
		return true
	}
	for _, name := range []string{"vip", "vip2"} {
		if vip, err := p.Addr(name); err == nil && vip == a {
			return true
		}
	}
	return false
}
