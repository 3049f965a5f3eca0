package netif

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// unreachable are the kernel's ways to say that there is no route.
var unreachable = []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.ESRCH, unix.ENONET}

// path asks the kernel how it would send a packet to addr. The MAC of the next
// hop is not looked up yet; Source stays zero on links that have none.
func (k *kernel) path(addr netip.Addr, links map[int]netlink.Link) (lvs.Path, error) {
	routes, err := k.handle.RouteGet(addr.AsSlice())
	if isNoRoute(err) || err == nil && len(routes) == 0 {
		return lvs.Path{Trouble: lvs.NoRoute}, nil
	}
	if err != nil {
		return lvs.Path{}, fmt.Errorf("route to %s: %w", addr, err)
	}
	return follow(addr.Unmap(), routes[0], links), nil
}

// follow turns a route into a path.
func follow(addr netip.Addr, r netlink.Route, links map[int]netlink.Link) lvs.Path {
	p := lvs.Path{Link: r.LinkIndex, Via: addr, MTU: r.MTU}
	switch r.Type {
	case unix.RTN_LOCAL:
		p.Local = true
	case unix.RTN_UNICAST:
		p.Via = nextHop(addr, r)
	default: // broadcast, multicast, blackhole, prohibit, unreachable
		return lvs.Path{Trouble: lvs.NoRoute}
	}
	link := links[r.LinkIndex]
	if link == nil {
		return lvs.Path{} // gone between two questions; news of it will come
	}
	p.From, _ = fromIP(r.Src)
	if p.MTU == 0 {
		p.MTU = link.Attrs().MTU
	}
	if !p.Local && link.Attrs().EncapType == "ether" {
		p.Source = mac(link.Attrs().HardwareAddr)
	}
	return p
}

// nextHop is the gateway, be it of the other family (RFC 5549), or addr.
func nextHop(addr netip.Addr, r netlink.Route) netip.Addr {
	gateway := r.Gw
	if via, ok := r.Via.(*netlink.Via); ok && via != nil {
		gateway = via.Addr
	}
	if a, ok := fromIP(gateway); ok && !a.IsUnspecified() {
		return a
	}
	return addr
}

func fromIP(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

func isNoRoute(err error) bool {
	return slices.ContainsFunc(unreachable, func(e error) bool { return errors.Is(err, e) })
}
