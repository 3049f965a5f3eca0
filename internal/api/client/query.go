package client

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// MaxLimit is the most connections one answer may hold.
const MaxLimit = 100_000

// Filter reads what people type: an address, a prefix, an address and port.
func (q ConnectionQuery) Filter() (f lvs.ConnectionFilter, err error) {
	if q.Protocol != "" {
		if f.Protocol, err = balanced(q.Protocol); err != nil {
			return f, err
		}
	}
	if f.Client, err = prefix(q.Client); err != nil {
		return f, fmt.Errorf("client: %w", err)
	}
	if f.Virtual, err = place(q.Service); err != nil {
		return f, fmt.Errorf("service: %w", err)
	}
	if f.Destination, err = place(q.Destination); err != nil {
		return f, fmt.Errorf("destination: %w", err)
	}
	names := lvs.StateNames()
	if f.State = strings.ToUpper(q.State); f.State != "" && !slices.Contains(names, f.State) {
		return f, fmt.Errorf("state: there is no %q; the states are %s", q.State, strings.Join(names, " "))
	}
	return f, nil
}

// Probe reads a made-up packet.
func (q ExplainQuery) Probe() (lvs.Probe, error) {
	p := lvs.Probe{Flags: strings.ToUpper(q.Flags), TTL: q.TTL, Length: q.Length, Interface: q.Interface}
	var err error
	if p.Protocol, err = probed(q.Protocol); err != nil {
		return p, err
	}
	if p.From, err = end(p.Protocol, q.From, "203.0.113.9", "2001:db8::9", 40000); err != nil {
		return p, fmt.Errorf("from: %w", err)
	}
	if p.To, err = end(p.Protocol, q.To, "192.0.2.1", "2001:db8::1", 80); err != nil {
		return p, fmt.Errorf("to: %w", err)
	}
	if p.From.Addr().Unmap().Is4() != p.To.Addr().Unmap().Is4() {
		return p, fmt.Errorf("from %s to %s: both ends of a packet need addresses of one family", q.From, q.To)
	}
	if strings.Trim(p.Flags, "SAFRP") != "" {
		return p, fmt.Errorf("flags: %q; use letters of S A F R P", q.Flags)
	}
	if p.Length < 0 || p.Length > 65535 {
		return p, fmt.Errorf("length: %d; from 0 to 65535 are possible", q.Length)
	}
	return p, nil
}

func balanced(protocol string) (lvs.Protocol, error) {
	switch protocol {
	case "tcp":
		return lvs.TCP, nil
	case "udp":
		return lvs.UDP, nil
	case "sctp":
		return lvs.SCTP, nil
	}
	return 0, fmt.Errorf("protocol: %q; use tcp, udp or sctp", protocol)
}

// probed is a protocol a made-up packet may have.
func probed(protocol string) (lvs.Protocol, error) {
	switch protocol {
	case "esp":
		return lvs.ESP, nil
	case "ah":
		return lvs.AH, nil
	}
	p, err := balanced(protocol)
	if err != nil {
		return 0, fmt.Errorf("protocol: %q; use tcp, udp, sctp, esp or ah", protocol)
	}
	return p, nil
}

// end is one end of a packet of the protocol: with a port, if it has ports. The
// rest is what to write instead.
func end(protocol lvs.Protocol, s, four, six string, port int) (netip.AddrPort, error) {
	if protocol.HasPorts() {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return a, fmt.Errorf("%q is no address with a port; write %s:%d or [%s]:%d", s, four, port, six, port)
		}
		return a, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address; %s has no ports, write %s or %s", s, protocol, four, six)
	}
	return netip.AddrPortFrom(a, 0), nil
}

func prefix(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a prefix; write 203.0.113.7 or 203.0.113.0/24", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func place(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap, nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address; write 192.0.2.1 or 192.0.2.1:80", s)
	}
	return netip.AddrPortFrom(a, 0), nil
}
