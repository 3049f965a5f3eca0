package lvs

import (
	"fmt"
	"strconv"
)

// A TunnelType is what a tunnel puts between the outer IP header and the
// request, in the numbers of the kernel's IPVS.
type TunnelType uint8

// The types of tunnel.
const (
	IPIP TunnelType = 0 // nothing (RFC 2003, RFC 2473)
	GUE  TunnelType = 1 // UDP and four bytes (draft-ietf-intarea-gue)
	GRE  TunnelType = 2 // four bytes, eight with a checksum (RFC 2784)
)

// A TunnelChecksum says what a tunnel header is summed with, in the numbers of
// the kernel's IPVS.
type TunnelChecksum uint8

// The checksums of tunnels.
const (
	NoChecksum     TunnelChecksum = 0
	Checksum       TunnelChecksum = 1
	RemoteChecksum TunnelChecksum = 2 // GUE only: remote checksum offload
)

// An Encap is how a tunnel wraps a request. The zero value is plain IP in IP.
type Encap struct {
	Type     TunnelType
	Port     uint16 // UDP port of GUE; zero for the others
	Checksum TunnelChecksum
}

// String is the type as ipvsadm's --tun-type has it.
func (t TunnelType) String() string {
	switch t {
	case IPIP:
		return "ipip"
	case GUE:
		return "gue"
	case GRE:
		return "gre"
	}
	return fmt.Sprintf("tunnel%d", uint8(t))
}

// String is ipvsadm's option for the checksum: nocsum, csum, remcsum.
func (c TunnelChecksum) String() string {
	switch c {
	case Checksum:
		return "csum"
	case RemoteChecksum:
		return "remcsum"
	}
	return "nocsum"
}

// Fault says what cannot be right about e; empty: nothing.
func (e Encap) Fault() string {
	switch {
	case e.Type > GRE:
		return fmt.Sprintf("unknown tunnel type %d; use ipip, gue or gre", uint8(e.Type))
	case e.Checksum > RemoteChecksum:
		return fmt.Sprintf("unknown tunnel checksum %d; use nocsum, csum or remcsum", uint8(e.Checksum))
	case e.Type == GUE && e.Port == 0:
		return "a gue tunnel needs a port"
	case e.Type != GUE && e.Port != 0:
		return fmt.Sprintf("a port is for gue tunnels, not for %s", e.Type)
	case e.Type == IPIP && e.Checksum != NoChecksum:
		return "an ipip tunnel has no header that could be summed"
	case e.Type == GRE && e.Checksum == RemoteChecksum:
		return "remote checksum offload is for gue tunnels"
	}
	return ""
}

// Method is the one word that says how a request travels to d: gate, masq, or
// the type of the tunnel.
func (d Destination) Method() string {
	switch d.Forward {
	case Masquerade:
		return "masq"
	case Tunnel:
		return d.Encap.Type.String()
	}
	return "gate"
}

// ParseMethod reads the words of Method.
func ParseMethod(s string) (Forwarding, TunnelType, error) {
	switch s {
	case "gate":
		return DirectRoute, IPIP, nil
	case "masq":
		return Masquerade, IPIP, nil
	}
	for t := IPIP; t <= GRE; t++ {
		if t.String() == s {
			return Tunnel, t, nil
		}
	}
	return 0, 0, fmt.Errorf("unknown forwarding method %q; use gate, masq, ipip, gue or gre", s)
}

// ParseTunnelChecksum reads nocsum, csum or remcsum.
func ParseTunnelChecksum(s string) (TunnelChecksum, error) {
	for c := NoChecksum; c <= RemoteChecksum; c++ {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("unknown tunnel checksum %q; use nocsum, csum or remcsum", s)
}

// Flags are e as ipvsadm -S writes it: "--tun-type gue --tun-port 6080 --tun-csum".
func (e Encap) Flags() string {
	s := "--tun-type " + e.Type.String()
	switch e.Type {
	case GUE:
		s += " --tun-port " + strconv.Itoa(int(e.Port)) + " --tun-" + e.Checksum.String()
	case GRE:
		s += " --tun-" + e.Checksum.String()
	}
	return s
}
