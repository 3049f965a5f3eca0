package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Port is one end of a wire: an interface of a host.
type Port struct {
	Host   *Host
	Name   string           // of the interface
	MAC    net.HardwareAddr // nil: the kernel chooses
	Addrs  []netip.Prefix
	Bridge string // the host's bridge it is plugged into; empty: none
}

// WireOptions are what both ends of a wire have in common. The zero value is
// an ordinary veth pair.
type WireOptions struct {
	MTU int // 0: the kernel's default, 1500

	// NoOffload makes both ends send finished packets: checksums filled in,
	// nothing larger than the MTU. XDP on the other side needs it, since it
	// sees a veth's packets before the checksum is made. It also switches GRO
	// on, without which a veth takes no packets redirected by XDP.
	NoOffload bool
}

// Wire connects two hosts and brings both ends up, ready for packets.
func (l *Lab) Wire(a, b Port, o WireOptions) error {
	if err := wire(a, b, o); err != nil {
		return fmt.Errorf("wire %s:%s – %s:%s: %w", a.Host.name, a.Name, b.Host.name, b.Name, err)
	}
	return carried(a, b)
}

// carried waits until packets can pass the interfaces. By itself the kernel
// notices a carrier up to a second late; asked for the state of the link it
// looks at once. IPv6 is ready when it has given the interface its link-local
// address; until then what arrives is lost.
func carried(ports ...Port) error {
	const patience, pause = 5 * time.Second, 2 * time.Millisecond
	for _, p := range ports {
		for waited := time.Duration(0); ; waited += pause {
			ready, err := p.ready()
			if err != nil {
				return fmt.Errorf("%s: %w", p.Host.name, err)
			}
			if ready {
				break
			}
			if waited > patience {
				return fmt.Errorf("%s: interface %s does not come up", p.Host.name, p.Name)
			}
			time.Sleep(pause)
		}
	}
	return nil
}

func (p Port) ready() (bool, error) {
	if up, err := p.Host.carrier(p.Name); !up || err != nil {
		return false, err
	}
	if !slices.ContainsFunc(p.Addrs, func(a netip.Prefix) bool { return a.Addr().Is6() }) {
		return true, nil
	}
	l, err := p.Host.link.LinkByName(p.Name)
	if err != nil {
		return false, err
	}
	addrs, err := p.Host.link.AddrList(l, netlink.FAMILY_V6)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, nil // it changed while it was read; it is read again
	}
	return slices.ContainsFunc(addrs, func(a netlink.Addr) bool {
		return a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
	}), err
}

func wire(a, b Port, o WireOptions) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = a.Name, a.MAC, o.MTU
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         b.Name,
		PeerHardwareAddr: b.MAC,
		PeerNamespace:    netlink.NsFd(b.Host.fd),
	}
	if err := a.Host.link.LinkAdd(veth); err != nil {
		return err
	}
	// Offloads first, on both ends: a veth finds out when it comes up whether
	// its peer takes redirected XDP packets, and never again.
	for _, p := range []Port{a, b} {
		if err := p.offload(o); err != nil {
			return err
		}
	}
	for _, p := range []Port{a, b} {
		if err := p.set(o); err != nil {
			return err
		}
	}
	return nil
}

func (p Port) offload(o WireOptions) error {
	if !o.NoOffload {
		return nil
	}
	return p.Host.noOffload(p.Name)
}

func (p Port) set(o WireOptions) error {
	if o.MTU != 0 {
		if err := p.Host.MTU(p.Name, o.MTU); err != nil {
			return err
		}
	}
	if p.Bridge != "" {
		if err := p.Host.plug(p.Name, p.Bridge); err != nil {
			return err
		}
	}
	for _, a := range p.Addrs {
		if err := p.Host.Address(p.Name, a); err != nil {
			return err
		}
	}
	return p.Host.Up(p.Name)
}

// Bridge adds a switch inside the host. It forwards at once, without
// spanning tree and without watching multicast.
func (h *Host) Bridge(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	no := false
	if err := h.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &no}); err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	return h.Up(name)
}

func (h *Host) plug(name, bridge string) error {
	port, err := h.link.LinkByName(name)
	if err != nil {
		return err
	}
	br, err := h.link.LinkByName(bridge)
	if err != nil {
		return err
	}
	return h.link.LinkSetMaster(port, br)
}

// Up brings an interface up.
func (h *Host) Up(name string) error { return h.each(name, h.link.LinkSetUp) }

// Down takes an interface down: pulling the wire.
func (h *Host) Down(name string) error { return h.each(name, h.link.LinkSetDown) }

// Unplug removes an interface, and with it the other end of its wire.
func (h *Host) Unplug(name string) error { return h.each(name, h.link.LinkDel) }

// MTU sets the largest packet of an interface.
func (h *Host) MTU(name string, mtu int) error {
	return h.each(name, func(l netlink.Link) error { return h.link.LinkSetMTU(l, mtu) })
}

// SetMAC gives an interface another link-layer address.
func (h *Host) SetMAC(name string, mac net.HardwareAddr) error {
	return h.each(name, func(l netlink.Link) error { return h.link.LinkSetHardwareAddr(l, mac) })
}

// MAC is the link-layer address of an interface.
func (h *Host) MAC(name string) (mac net.HardwareAddr, err error) {
	err = h.each(name, func(l netlink.Link) error { mac = l.Attrs().HardwareAddr; return nil })
	return mac, err
}

func (h *Host) each(name string, do func(netlink.Link) error) error {
	l, err := h.link.LinkByName(name)
	if err == nil {
		err = do(l)
	}
	if err != nil {
		return fmt.Errorf("%s: interface %s: %w", h.name, name, err)
	}
	return nil
}

// Address adds an address to an interface, usable at once if the interface has
// a carrier. An address that is there already is no error.
func (h *Host) Address(name string, a netip.Prefix) error {
	return h.each(name, func(l netlink.Link) error {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.link.AddrAdd(l, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("address %s: %w", a, err)
		}
		if a.Addr().Is4() || l.Attrs().RawFlags&unix.IFF_RUNNING == 0 {
			return nil
		}
		return h.answersTo(a.Addr())
	})
}

// answersTo waits until a host takes packets for an IPv6 address as its own: the
// kernel makes the route of a new address later, in a work queue, even where it
// looks for no duplicates.
func (h *Host) answersTo(a netip.Addr) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		routes, err := h.link.RouteGet(a.AsSlice())
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("address %s: not in use after 5 s", a)
		}
	}
}

// Unaddress removes an address from an interface.
func (h *Host) Unaddress(name string, a netip.Prefix) error {
	return h.each(name, func(l netlink.Link) error {
		return h.link.AddrDel(l, &netlink.Addr{IPNet: ipNet(a)})
	})
}

// Route sends packets for dst to the gateway via; a dst of zero bits is the
// default route. A route to the same destination is replaced.
func (h *Host) Route(dst netip.Prefix, via netip.Addr) error {
	err := h.link.RouteReplace(&netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice()})
	if err != nil {
		return fmt.Errorf("%s: route %s via %s: %w", h.name, dst, via, err)
	}
	return nil
}

// Unroute removes the route to dst.
func (h *Host) Unroute(dst netip.Prefix) error {
	if err := h.link.RouteDel(&netlink.Route{Dst: ipNet(dst)}); err != nil {
		return fmt.Errorf("%s: route %s: %w", h.name, dst, err)
	}
	return nil
}

// Neighbour makes a host's link-layer address known on an interface for good.
func (h *Host) Neighbour(name string, a netip.Addr, mac net.HardwareAddr) error {
	return h.each(name, func(l netlink.Link) error {
		n := netlink.Neigh{LinkIndex: l.Attrs().Index, IP: a.AsSlice(), HardwareAddr: mac, State: unix.NUD_PERMANENT}
		if err := h.link.NeighSet(&n); err != nil {
			return fmt.Errorf("neighbour %s: %w", a, err)
		}
		return nil
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
