package realserver

import (
	"net/netip"
	"slices"
)

// Facts are how a host is.
type Facts struct {
	Links     []Link
	Addresses []Address
	Settings  map[string]string // values under /proc/sys, by path
	Defaults  []Default
	Unwrap    *Unwrap // weir's own program; nil: not attached
	Listeners []Listener
	Chains    []Chain
	Lost      Lost
	Answers   []Answer // nil: nobody was asked
}

// A Link is an interface.
type Link struct {
	Index    int
	Name     string
	Kind     string // as ip -d link shows it, "" for hardware
	Up       bool
	Ethernet bool
	Port     bool // of a bridge or bond: its packets arrive there
	Loopback bool
	Inner    Inner // of a tunnel device
}

// An Inner is what a tunnel device of the kernel finds in its packets.
type Inner struct{ IPv4, IPv6 bool }

// arrives tells whether packets of a director may arrive there by themselves.
func (l Link) arrives() bool { return l.Ethernet && l.Up && !l.Port }

// An Address stands on an interface.
type Address struct {
	Link   string
	Prefix netip.Prefix
	Host   bool // scope host: for this machine alone
}

// A Default is a default route.
type Default struct {
	V6   bool
	Link string
}

// An Unwrap is what weir's own program does.
type Unwrap struct {
	Links  []string       `json:"interfaces"`
	VIPs   []netip.Addr   `json:"vips"`
	Outers []netip.Addr   `json:"outers"` // addresses of this host where tunnels end
	From   []netip.Prefix `json:"from,omitempty"`
	IPIP   bool           `json:"ipip,omitempty"`
	GRE    bool           `json:"gre,omitempty"`
	GUE    uint16         `json:"gue,omitempty"`
}

func (u Unwrap) equal(o Unwrap) bool {
	return slices.Equal(u.Links, o.Links) && slices.Equal(u.VIPs, o.VIPs) && slices.Equal(u.Outers, o.Outers) &&
		slices.Equal(u.From, o.From) && u.IPIP == o.IPIP && u.GRE == o.GRE && u.GUE == o.GUE
}

// A Listener is a socket that takes connections or datagrams.
type Listener struct {
	UDP  bool
	Addr netip.AddrPort
	// Both is an IPv6 socket on :: that may take IPv4 too.
	Both bool
}

// A Chain is one of nftables through which packets for this host pass.
type Chain struct {
	Family, Table, Name string
	Drops               bool // its policy is drop
	Rejects             int  // rules in it that drop or reject by themselves
}

// Lost are the kernel's counters of packets like those a director sends, since
// boot.
type Lost struct {
	ReversePath     uint64 // rp_filter
	UnknownProtocol uint64 // nobody took the tunnel packet
}

// An Answer is a machine that says it has a virtual address.
type Answer struct {
	VIP  netip.Addr
	Link string
	MAC  string
}

func (f Facts) link(name string) (Link, bool) {
	for _, l := range f.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}

// Arrivals are the interfaces where the director's packets arrive.
func (f Facts) Arrivals(w Wish) []Link {
	var list []Link
	for _, l := range f.Links {
		if len(w.Interfaces) == 0 && l.arrives() || slices.Contains(w.Interfaces, l.Name) {
			list = append(list, l)
		}
	}
	return list
}

// outers are this host's own addresses to which tunnel packets come.
func (f Facts) outers(w Wish) []netip.Addr {
	var list []netip.Addr
	for _, l := range f.Arrivals(w) {
		for _, a := range f.Addresses {
			addr := a.Prefix.Addr()
			if a.Link == l.Name && !addr.IsLinkLocalUnicast() && !slices.Contains(w.VIPs, addr) && !slices.Contains(list, addr) {
				list = append(list, addr)
			}
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}
