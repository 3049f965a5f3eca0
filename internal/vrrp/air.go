package vrrp

import (
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// An Air carries packets of the protocol over the segments of a director.
type Air interface {
	// Send sends p and does not wait. To is a multicast group or one peer.
	Send(p Packet) error
}

// A Packet is one packet of the protocol, without its IP header.
type Packet struct {
	Link     string // name of the interface
	From, To netip.Addr
	TTL      uint8 // of a received one; the sender's is always TTL
	Payload  []byte
}

// A Link is what an interface is now.
type Link struct {
	Up     bool
	Source map[lvs.Family]netip.Addr // of adverts, where nothing else is said: the first IPv4 address, the link-local one of IPv6
	Addrs  []netip.Addr              // all
}

// source is where the adverts of c come from, or why there can be none.
func source(c lvs.Router, links map[string]Link) (netip.Addr, string) {
	l, ok := links[c.Interface]
	switch {
	case !ok:
		return netip.Addr{}, "interface " + c.Interface + " is missing"
	case !l.Up:
		return netip.Addr{}, "interface " + c.Interface + " is down"
	}
	for _, a := range c.Held() {
		if h, ok := links[a.Interface]; !ok || !h.Up {
			return netip.Addr{}, "interface " + a.Interface + ", where " + a.Prefix.String() + " belongs, is missing or down"
		}
	}
	if c.Source.IsValid() {
		if !slices.Contains(l.Addrs, c.Source) {
			return netip.Addr{}, "interface " + c.Interface + " does not have the source address " + c.Source.String()
		}
		return c.Source, ""
	}
	if a := l.Source[c.Family()]; a.IsValid() {
		return a, ""
	}
	return netip.Addr{}, "interface " + c.Interface + " has no " + familyName(c.Family()) + " address that adverts could come from"
}

// targets are where the adverts of c go.
func targets(c lvs.Router) []netip.Addr {
	switch {
	case len(c.Peers) > 0:
		return c.Peers
	case c.Family() == lvs.IPv6:
		return []netip.Addr{Group6}
	}
	return []netip.Addr{Group4}
}

// unfit says why p, which is for c's ID, is not to be believed.
func unfit(c lvs.Router, p Packet, a Advert) string {
	switch {
	case len(c.Peers) == 0 && !p.To.IsMulticast():
		return "it was sent to this director alone, and no peers are configured"
	case len(c.Peers) > 0 && !slices.Contains(c.Peers, p.From):
		return "it comes from none of the peers"
	case len(c.Peers) == 0 && p.TTL != TTL:
		return "a router has forwarded it: its TTL is not 255"
	case a.Version != c.Version:
		return "it is of another version of VRRP: both directors take over while that is so"
	case a.Version == 2 && !samePassword(a.Password, c.Password):
		return "its password is another one: both directors take over while that is so"
	case a.Version == 2 && a.Interval != c.Interval:
		return "its interval is another one, which version 2 forbids: both directors take over while that is so"
	}
	return ""
}

// strange says what about an advert that counts should be looked at.
func strange(c lvs.Router, a Advert) string {
	if len(a.Addresses) != len(c.Addresses) {
		return "it names another number of addresses"
	}
	for _, h := range c.Addresses {
		if !slices.Contains(a.Addresses, h.Prefix.Addr()) {
			return "it does not name " + h.Prefix.Addr().String()
		}
	}
	return ""
}

func familyName(f lvs.Family) string {
	if f == lvs.IPv6 {
		return "link-local IPv6"
	}
	return "IPv4"
}
