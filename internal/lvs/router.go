package lvs

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// A Router is a virtual router (RFC 9568): addresses that several directors
// share, of which one holds them at a time.
type Router struct {
	Name      string
	Interface string // where its adverts travel
	ID        uint8  // 1 to 255, the same on all directors of the segment
	Version   uint8  // of VRRP: 2 or 3
	Priority  uint8  // 1 to 254; 255: owner of the addresses
	Interval  time.Duration
	Preempt   bool          // take the addresses from a director of lower priority
	Delay     time.Duration // how long one of lower priority is let be
	Group     string        // routers of one group move together; empty: alone
	Password  string        // of version 2; empty: none. Never shown
	Source    netip.Addr    // of adverts; zero: the interface's own
	Peers     []netip.Addr  // adverts go to these alone; none: to everybody by multicast
	Addresses []HeldAddress // in the adverts, all of one family
	Also      []HeldAddress // move with them and are in no advert
	Announce  Announcement
}

// Family is that of the adverts.
func (r Router) Family() Family {
	if len(r.Addresses) > 0 && r.Addresses[0].Prefix.Addr().Is6() {
		return IPv6
	}
	return IPv4
}

// Equal tells whether both are the same in every word.
func (r Router) Equal(o Router) bool {
	a, b := r, o
	a.Peers, b.Peers, a.Addresses, b.Addresses, a.Also, b.Also = nil, nil, nil, nil, nil, nil
	return a.scalar() == b.scalar() && slices.Equal(r.Peers, o.Peers) && slices.Equal(r.Addresses, o.Addresses) && slices.Equal(r.Also, o.Also)
}

// scalar is what of r can be compared at once.
func (r Router) scalar() any {
	return struct {
		name, link, group, password string
		id, version, priority       uint8
		interval, delay             time.Duration
		preempt                     bool
		source                      netip.Addr
		announce                    Announcement
	}{r.Name, r.Interface, r.Group, r.Password, r.ID, r.Version, r.Priority, r.Interval, r.Delay, r.Preempt, r.Source, r.Announce}
}

// Held are all addresses the active director holds for r.
func (r Router) Held() []HeldAddress {
	out := make([]HeldAddress, 0, len(r.Addresses)+len(r.Also))
	for _, a := range slices.Concat(r.Addresses, r.Also) {
		if a.Interface == "" {
			a.Interface = r.Interface
		}
		out = append(out, a)
	}
	return out
}

// A HeldAddress is an address as it stands on an interface.
type HeldAddress struct {
	Prefix    netip.Prefix // not masked: the address, and how many bits of it are the network's
	Interface string       // empty: that of the router's adverts
}

// String is "192.0.2.1/24 dev eth0", the words of ip(8).
func (a HeldAddress) String() string {
	if a.Interface == "" {
		return a.Prefix.String()
	}
	return a.Prefix.String() + " dev " + a.Interface
}

// An Announcement says how often the neighbours are told of an address that
// has come here: gratuitous ARP, unsolicited neighbour advertisements.
type Announcement struct {
	Repeat  int           // in one burst
	Delay   time.Duration // from the first burst to the second
	Refresh time.Duration // from one telling to the next while it stays; 0: never
}

// DefaultAnnouncement is what keepalived does.
func DefaultAnnouncement() Announcement { return Announcement{Repeat: 5, Delay: 5 * time.Second} }

// A RouterState is what a director is for a virtual router (RFC 9568, 6.3).
type RouterState string

// The states. Fault is Initialize for a reason: the interface is down, say.
const (
	RouterInit   RouterState = "init"
	RouterBackup RouterState = "backup"
	RouterActive RouterState = "active"
	RouterFault  RouterState = "fault"
)

// A RouterRole is what a director knows of one virtual router.
type RouterRole struct {
	Router   Router
	State    RouterState
	Since    time.Time
	Why      string     // it is in this state
	Priority uint8      // as advertised now
	Active   netip.Addr // the director that holds the addresses, if another; zero: unknown
	Counts   RouterCounts
}

// RouterCounts are what a virtual router has counted since it began.
type RouterCounts struct {
	Sent, Heard uint64 // adverts
	Takeovers   uint64 // how often it became active
	Refused     uint64 // packets that were no adverts for it: wrong in a way that is told in the log
}

// RolesTag is a short text that is another one once one of the routers has
// another state.
func RolesTag(rs []RouterRole) string {
	h := fnv.New64a()
	for _, r := range rs {
		_, _ = h.Write([]byte(r.Router.Name + " " + string(r.State) + "\n")) // a hash takes everything
	}
	return strconv.FormatUint(h.Sum64(), 16)
}
