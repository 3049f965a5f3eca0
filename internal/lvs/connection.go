package lvs

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A ConnState is the state of a connection, in the numbers of the kernel's
// IPVS (they are those of the sync protocol too). UDP has one state, number 0,
// which is shown as UDP.
type ConnState uint8

// The TCP states.
const (
	StateNone ConnState = iota
	StateEstablished
	StateSynSent
	StateSynRecv
	StateFinWait
	StateTimeWait
	StateClose
	StateCloseWait
	StateLastAck
	StateListen
	StateSynAck
)

var tcpStateNames = [...]string{"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT",
	"TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK"}

var sctpStateNames = [...]string{"NONE", "INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE",
	"C-ECHOED", "ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED"}

// Name is the state as ipvsadm -Lc shows it.
func (s ConnState) Name(p Protocol) string {
	if p == UDP {
		return "UDP"
	}
	names := tcpStateNames[:]
	if p == SCTP {
		names = sctpStateNames[:]
	}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("STATE%d", uint8(s))
}

// StateNames are all names a state is shown by, as Name gives them.
func StateNames() []string {
	all := tcpStateNames[:len(tcpStateNames):len(tcpStateNames)]
	for _, name := range sctpStateNames {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return append(all, UDP.String(), "ASSURED")
}

// Active tells whether a TCP connection in this state counts as active.
func (s ConnState) Active() bool {
	switch s {
	case StateEstablished, StateSynSent, StateSynRecv, StateSynAck:
		return true
	}
	return false
}

// StateName is the connection's state as ipvsadm -Lc shows it. A template has
// two of its own: whether a connection it led to was ever established.
func (c Connection) StateName() string {
	if !c.Template {
		return c.State.Name(c.Protocol)
	}
	if c.State != StateNone {
		return "ASSURED"
	}
	return "NONE"
}

// A Connection is one entry of the connection table.
type Connection struct {
	Protocol    Protocol
	Client      netip.AddrPort
	Virtual     netip.AddrPort
	Destination netip.AddrPort
	Forward     Forwarding
	State       ConnState
	Expires     time.Duration // left until it is forgotten
	// Template says that this is what persistence remembers of a client:
	// Client is masked and has no port; for a firewall-mark service Protocol
	// is zero and Virtual's address is the mark.
	Template bool
	Call     string // of a template of the SIP engine: the Call-ID it is for
}

// A ConnectionFilter picks connections. Zero fields match everything.
type ConnectionFilter struct {
	Protocol    Protocol
	Client      netip.Prefix
	Virtual     netip.AddrPort // port 0 matches any port
	Destination netip.AddrPort // port 0 matches any port
	State       string         // name as shown, any case
}

// Match tells whether c passes the filter.
func (f ConnectionFilter) Match(c Connection) bool {
	if f.Protocol != 0 && f.Protocol != c.Protocol {
		return false
	}
	if f.Client.IsValid() && !f.Client.Contains(c.Client.Addr()) {
		return false
	}
	if !matchAddrPort(f.Virtual, c.Virtual) || !matchAddrPort(f.Destination, c.Destination) {
		return false
	}
	return f.State == "" || equalFold(f.State, c.StateName())
}

func matchAddrPort(want, have netip.AddrPort) bool {
	if !want.Addr().IsValid() {
		return want.Port() == 0 || want.Port() == have.Port()
	}
	return want.Addr() == have.Addr() && (want.Port() == 0 || want.Port() == have.Port())
}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i]|0x20 != b[i]|0x20 {
			return false
		}
	}
	return true
}
