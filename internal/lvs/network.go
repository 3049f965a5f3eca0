package lvs

import "net/netip"

// A Link is one network interface of the director.
type Link struct {
	Index  int
	Name   string
	MAC    [6]byte
	MTU    int    // bytes of the largest IP packet
	Kind   string // "" for hardware, else the kernel's word: veth, vlan, bridge, bond …
	Driver string // what drives it natively ("veth", "ixgbe"); empty if unknown
	XDP    bool   // the driver runs XDP natively and may be trusted with it
	// XDPSend tells whether the interface takes packets sent from XDP now. A
	// veth does only while its peer has GRO or an XDP program.
	XDPSend bool
	// XDPUntold says that the kernel cannot tell whether it does (before Linux 6.3).
	XDPUntold bool
}

// A Path is how the director reaches one destination address: the interface,
// the link-layer addresses and the largest packet.
type Path struct {
	Local  bool       // the address is the director's own
	Link   int        // interface index; 0: there is no route
	Via    netip.Addr // next hop: the address itself or a gateway
	MAC    [6]byte    // of the next hop; zero: not resolved yet
	Source [6]byte    // of the interface
	MTU    int
	From   netip.Addr // the director's address packets on this way have as source
	// Trouble says why nothing can be sent along the path; empty: nothing is known
	// against it.
	Trouble string
}

// What can be the trouble with a path.
const (
	NoRoute     = "no route"
	NoNeighbour = "the neighbour does not answer" // neither ARP nor neighbour discovery
)

// Resolved tells whether a packet could leave along p at once.
func (p Path) Resolved() bool { return p.Link != 0 && p.MAC != [6]byte{} }

// A Network is the director's view of the network around it: where packets
// may arrive and how each destination is reached.
type Network struct {
	Links []Link
	Paths map[netip.Addr]Path
}
