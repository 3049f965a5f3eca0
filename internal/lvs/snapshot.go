package lvs

import (
	"net/netip"
	"time"
)

// A Snapshot is a finished picture of what the director wanted, installed and
// knows. It is never changed after it was shown.
type Snapshot struct {
	At         time.Time
	Configured bool      // a configuration has been applied
	Config     string    // where it came from
	Applied    time.Time // when
	Problem    string    // why wanted and installed differ; empty: they do not

	Wanted    Table[Service]
	Installed Table[Service]
	Drift     []Drift // what others have changed, if the table is not weir's alone
	Health    Table[Healths]
	Fallback  Table[bool] // the sorry server stands in
	Orders    Table[map[netip.AddrPort]Order]
	Timeouts  Timeouts
	// ByHand are the services that are not as the configuration has them.
	ByHand  Table[Hand]
	Network Network
	Plane   Plane
}

// A Hand says what operators have done to a service of the configuration.
type Hand string

// What can be done by hand.
const (
	HandAdded   Hand = "added"   // the configuration does not have it
	HandChanged Hand = "changed" // the configuration has it otherwise
	HandDeleted Hand = "deleted" // the configuration has it, the table does not
)

// A Plane describes the data plane that is running.
type Plane struct {
	Name  string            // ebpf, memory, ipvs
	Modes map[string]string // interface name to "xdp" or "tc"
	Since time.Time         // when this table was first loaded; survives restarts
}

// An Event is one change worth telling people about.
type Event struct {
	At          time.Time `json:"at"`
	Kind        string    `json:"kind"` // destination-down, destination-up, fallback-on, fallback-off, configuration, unreachable, problem, drift, router, …
	Service     string    `json:"service,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Text        string    `json:"text"`
}
