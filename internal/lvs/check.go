package lvs

import (
	"net/netip"
	"time"
)

// A CheckKind says how a real server is asked whether it is well.
type CheckKind string

// The kinds of check.
const (
	CheckConnect  CheckKind = "connect"   // TCP connection; a UDP service is pinged instead
	CheckHTTP     CheckKind = "http"      // request, status 2xx, body matched
	CheckHTTPS    CheckKind = "https"     // the same over TLS
	CheckSimple   CheckKind = "simpletcp" // send a line, match an answered line
	CheckPing     CheckKind = "ping"      // ICMP echo
	CheckExternal CheckKind = "external"  // a program's exit status
	CheckOn       CheckKind = "on"        // never asked, always up
	CheckOff      CheckKind = "off"       // never asked, always down
)

// A Check says how often, how long and with what question a real server is
// asked. Its zero value is not valid; config fills every field. Most of it is
// empty, and so not written where checks are remembered.
type Check struct {
	Kind     CheckKind     `json:",omitzero"`
	Port     uint16        `json:",omitzero"` // 0: the destination's own port, else the service's
	Request  string        `json:",omitzero"` // http: path or whole URL; simpletcp: text sent
	Receive  string        `json:",omitzero"` // regular expression the answer must match; empty: any
	Host     string        `json:",omitzero"` // http: Host header and TLS server name; empty: the address
	Method   string        `json:",omitzero"` // http: GET or HEAD
	Command  string        `json:",omitzero"` // external: path of the program
	Interval time.Duration `json:",omitzero"` // between two questions
	Timeout  time.Duration `json:",omitzero"` // of one question of this kind (connect, ping, external; negotiate for the others)
	Attempts int           `json:",omitzero"` // ping: questions per check
	Fall     int           `json:",omitzero"` // failures in a row before the server counts as down
	Rise     int           `json:",omitzero"` // good answers in a row before it counts as up again

	// Every makes most questions cheap: after a good negotiated answer this
	// many connect checks follow (ldirectord's checktype=N). 0: never.
	Every int `json:",omitzero"`
	// ConnectTimeout is the Timeout of those connect checks.
	ConnectTimeout time.Duration `json:",omitzero"`
}

// Asks tells whether the check asks anything at all (all but on and off do).
func (c Check) Asks() bool { return c.Kind != CheckOn && c.Kind != CheckOff }

// A Target is one destination of one service to be checked.
type Target struct {
	Service     ServiceKey
	Destination netip.AddrPort
	Check       Check
	Up          bool // what is believed of it before the first answer
}

// A Reason is a bounded word for why a check failed, fit for a metric label.
type Reason string

// The reasons.
const (
	ReasonNone     Reason = ""
	ReasonRefused  Reason = "refused"
	ReasonTimeout  Reason = "timeout"
	ReasonReset    Reason = "reset"
	ReasonMismatch Reason = "mismatch" // an answer, but the wrong one
	ReasonTLS      Reason = "tls"
	ReasonNetwork  Reason = "network" // unreachable, no route
	ReasonCommand  Reason = "command" // the external program could not be run
	ReasonOther    Reason = "other"

	ReasonUnchecked Reason = "unchecked" // no answer yet
	ReasonOff       Reason = "off"       // its check is off
)

// A Verdict is a change of mind about a destination.
type Verdict struct {
	Service     ServiceKey
	Destination netip.AddrPort
	Up          bool
	Reason      Reason // why it is down
	Why         string // the same in the operator's words: "status 503, want 200"
	At          time.Time
}
