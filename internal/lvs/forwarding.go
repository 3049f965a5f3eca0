package lvs

import "fmt"

// A Forwarding is the way a request travels from the director to a real server.
type Forwarding uint8

// The forwarding methods, in the numbers of the kernel's IPVS.
const (
	// Masquerade rewrites the destination to the real server; the answer
	// comes back through the director and is rewritten again.
	Masquerade Forwarding = 0
	// Tunnel wraps the request in another IP packet.
	Tunnel Forwarding = 2
	// DirectRoute changes only the link-layer destination; the real server
	// answers the client itself.
	DirectRoute Forwarding = 3
	// UnknownForwarding is the method of a connection where nobody can tell.
	UnknownForwarding Forwarding = 255
)

// String is the word of ipvsadm's listing: Masq, Tunnel, Route.
func (f Forwarding) String() string {
	switch f {
	case Masquerade:
		return "Masq"
	case Tunnel:
		return "Tunnel"
	case DirectRoute:
		return "Route"
	case UnknownForwarding:
		return "unknown"
	}
	return fmt.Sprintf("Forwarding(%d)", uint8(f))
}

// Flag is ipvsadm's option for the method: -m, -i or -g.
func (f Forwarding) Flag() string {
	switch f {
	case Masquerade:
		return "-m"
	case Tunnel:
		return "-i"
	default:
		return "-g"
	}
}

// ParseForwarding reads ldirectord's words gate, masq and ipip.
func ParseForwarding(s string) (Forwarding, error) {
	switch s {
	case "gate":
		return DirectRoute, nil
	case "masq":
		return Masquerade, nil
	case "ipip":
		return Tunnel, nil
	}
	return 0, fmt.Errorf("unknown forwarding method %q; use gate, masq or ipip", s)
}

// MarshalText writes gate, masq or ipip.
func (f Forwarding) MarshalText() ([]byte, error) {
	switch f {
	case Masquerade:
		return []byte("masq"), nil
	case Tunnel:
		return []byte("ipip"), nil
	case DirectRoute:
		return []byte("gate"), nil
	}
	return nil, fmt.Errorf("forwarding method %d has no name", uint8(f))
}

// UnmarshalText is ParseForwarding for decoders.
func (f *Forwarding) UnmarshalText(b []byte) (err error) {
	*f, err = ParseForwarding(string(b))
	return err
}
