package lvs

import "fmt"

// A Protocol is a transport protocol by its IP protocol number. Zero is none
// (a firewall-mark service balances every protocol).
type Protocol uint8

// The protocols IPVS balances (RFC 9293, RFC 768, RFC 9260).
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// The protocols of IPsec (RFC 4303, RFC 4302). There is no service of theirs:
// they travel with the connection of UDP port 500 between the same addresses.
const (
	ESP Protocol = 50
	AH  Protocol = 51
)

// HasPorts tells whether packets of the protocol have ports.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// String is the protocol as ipvsadm lists it: TCP, UDP, SCTP.
func (p Protocol) String() string {
	switch p {
	case 0:
		return "IP"
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	case ESP:
		return "ESP"
	case AH:
		return "AH"
	}
	return fmt.Sprintf("PROTO%d", uint8(p))
}

// ParseProtocol reads tcp, udp or sctp in either case.
func ParseProtocol(s string) (Protocol, error) {
	switch s {
	case "tcp", "TCP":
		return TCP, nil
	case "udp", "UDP":
		return UDP, nil
	case "sctp", "SCTP":
		return SCTP, nil
	}
	return 0, fmt.Errorf("unknown protocol %q; use tcp, udp or sctp", s)
}

// MarshalText writes the lower-case name, the form of files and of the API.
func (p Protocol) MarshalText() ([]byte, error) {
	switch p {
	case TCP:
		return []byte("tcp"), nil
	case UDP:
		return []byte("udp"), nil
	case SCTP:
		return []byte("sctp"), nil
	}
	return nil, fmt.Errorf("protocol %d has no name", uint8(p))
}

// UnmarshalText is ParseProtocol for decoders.
func (p *Protocol) UnmarshalText(b []byte) (err error) {
	*p, err = ParseProtocol(string(b))
	return err
}
