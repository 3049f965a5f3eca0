package ipvsadm

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// A place is an address, with or without a port.
type place struct {
	addr   netip.Addr
	port   uint16
	ported bool
}

// address reads host[:port]. Brackets are for IPv6 and need a port; what is
// all digits is no host.
func (p *parser) address(text string) (place, bool) {
	if strings.Trim(text, "0123456789") == "" {
		return place{}, false
	}
	host, port, ported := text, "", false
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if host, port, ported = strings.Cut(inner, "]:"); !ported {
			return place{}, false
		}
	}
	var at place
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() && a.Zone() == "" {
		at.addr = a
	} else {
		ported = false // the original forgets a port behind brackets around IPv4
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host, port, ported = host[:i], host[i+1:], true
		}
		var ok bool
		if at.addr, ok = p.host4(host); !ok {
			return place{}, false
		}
	}
	if at.addr = at.addr.Unmap(); !ported {
		return at, true
	}
	var ok bool
	at.port, ok = p.portNumber(port)
	at.ported = true
	return at, ok
}

func (p *parser) portNumber(text string) (uint16, bool) {
	if n, ok := number(text, 0, 65535); ok {
		return uint16(n), true
	}
	if p.names.Port == nil || text == "" || p.protocol == 0 {
		return 0, false
	}
	n, err := p.names.Port(text, strings.ToLower(p.protocol.String()))
	return n, err == nil
}

// host4 is an IPv4 address, or that of a host.
func (p *parser) host4(text string) (netip.Addr, bool) {
	if a, ok := aton(text); ok {
		return a, true
	}
	if p.names.Host == nil || text == "" || strings.ContainsAny(text, " /") {
		return netip.Addr{}, false
	}
	a, err := p.names.Host(text, lvs.IPv4)
	return a, err == nil && a.Is4()
}

// aton reads an IPv4 address as inet_aton(3): up to four numbers, the last of
// which fills what is left; each decimal, octal or hexadecimal.
func aton(text string) (netip.Addr, bool) {
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, part := range parts {
		if part == "" || part[0] == '+' || part[0] == '-' || strings.ContainsRune(part, '_') || strings.HasPrefix(strings.ToLower(part), "0b") || strings.HasPrefix(strings.ToLower(part), "0o") {
			return netip.Addr{}, false
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || n >= 1<<bits {
			return netip.Addr{}, false
		}
		v = v<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}
