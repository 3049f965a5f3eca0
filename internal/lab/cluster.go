package lab

import (
	"fmt"
	"net/netip"
)

// A Cluster is the classic virtual server in a lab:
//
//	  client                       director                       real 1 … n
//	  10.90.1.2                    10.90.1.1   10.90.2.1          10.90.2.11 …
//	  fd90:1::2                    fd90:1::1   fd90:2::1          fd90:2::11 …
//	    eth0                         front       back               eth0
//	      │                            │           │                  │
//	┌─────┴────────── switch ──────────┴──┐     ┌──┴───── switch ─────┴──┐
//	│            bridge "front"           │     │      bridge "back"     │
//	└─────────────────────────────────────┘     └────────────────────────┘
//
// The director forwards, and holds the virtual addresses 10.90.1.100 and
// fd90:1::100 on its front interface. The real servers send everything
// through the director. They have the virtual addresses on lo, silently, so
// that they can serve direct routing too; their answers then carry the
// virtual address as source and pass the director as plain packets, which is
// why its back interface accepts packets from an address of its own.
type Cluster struct {
	*Lab
	Client   *Host
	Director *Host
	Switch   *Host
	Real     []*Host

	ports []Port
}

// The addresses of a cluster.
var (
	ClientAddr    = netip.MustParseAddr("10.90.1.2")
	ClientAddr6   = netip.MustParseAddr("fd90:1::2")
	DirectorAddr  = netip.MustParseAddr("10.90.1.1")
	DirectorAddr6 = netip.MustParseAddr("fd90:1::1")
	VirtualAddr   = netip.MustParseAddr("10.90.1.100")
	VirtualAddr6  = netip.MustParseAddr("fd90:1::100")

	backAddr  = netip.MustParseAddr("10.90.2.1")
	backAddr6 = netip.MustParseAddr("fd90:2::1")
)

// MostReals is how many real servers a cluster has addresses for.
const MostReals = 89

// RealAddr is the IPv4 address of real server i, counted from 0.
func RealAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 90, 2, byte(11 + i)}) }

// RealAddr6 is its IPv6 address: fd90:2::11 for the first, decimal digits
// written as hexadecimal ones so that both addresses look alike.
func RealAddr6(i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd90:2::%d", 11+i))
}

// NewCluster builds a cluster with the given number of real servers. On an
// error everything that was built is gone again.
func NewCluster(name string, reals int, o WireOptions) (*Cluster, error) {
	if reals < 0 || reals > MostReals {
		return nil, fmt.Errorf("%d real servers; a cluster has 0 to %d", reals, MostReals)
	}
	l, err := New(name)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Lab: l}
	if err := c.build(reals, o); err != nil {
		l.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) build(reals int, o WireOptions) error {
	if err := c.addHosts(reals); err != nil {
		return err
	}
	for _, bridge := range []string{"front", "back"} {
		if err := c.Switch.Bridge(bridge); err != nil {
			return err
		}
	}
	if err := c.plugIn(c.Client, "eth0", "front", o, 24, 64, ClientAddr, ClientAddr6); err != nil {
		return err
	}
	if err := c.plugIn(c.Director, "front", "front", o, 24, 64, DirectorAddr, DirectorAddr6); err != nil {
		return err
	}
	if err := c.plugIn(c.Director, "back", "back", o, 24, 64, backAddr, backAddr6); err != nil {
		return err
	}
	for i, real := range c.Real {
		if err := c.plugIn(real, "eth0", "back", o, 24, 64, RealAddr(i), RealAddr6(i)); err != nil {
			return err
		}
	}
	if err := c.configure(); err != nil {
		return err
	}
	return carried(c.ports...)
}

func (c *Cluster) addHosts(reals int) (err error) {
	for name, h := range map[string]**Host{"client": &c.Client, "director": &c.Director, "switch": &c.Switch} {
		if *h, err = c.Host(name); err != nil {
			return err
		}
	}
	for i := range reals {
		h, err := c.Host(fmt.Sprintf("real%d", i+1))
		if err != nil {
			return err
		}
		c.Real = append(c.Real, h)
	}
	return nil
}

// plugIn connects an interface of h to a bridge of the switch.
func (c *Cluster) plugIn(h *Host, name, bridge string, o WireOptions, bits4, bits6 int, a4, a6 netip.Addr) error {
	port := Port{Host: h, Name: name, Addrs: []netip.Prefix{netip.PrefixFrom(a4, bits4), netip.PrefixFrom(a6, bits6)}}
	socket := Port{Host: c.Switch, Name: h.Name() + "-" + name, Bridge: bridge}
	c.ports = append(c.ports, port, socket)
	return wire(port, socket, o)
}

func (c *Cluster) configure() error {
	steps := []func() error{c.configureDirector, c.configureClient}
	for _, real := range c.Real {
		steps = append(steps, func() error { return configureReal(real) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) configureDirector() error {
	for _, a := range []netip.Addr{VirtualAddr, VirtualAddr6} {
		if err := c.Director.Address("front", host(a)); err != nil {
			return err
		}
	}
	return sysctls(c.Director, [][2]string{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv6/conf/all/forwarding", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/front/rp_filter", "0"},
		{"net/ipv4/conf/back/rp_filter", "0"},
		{"net/ipv4/conf/back/accept_local", "1"},
	})
}

func (c *Cluster) configureClient() error {
	return defaultRoutes(c.Client, DirectorAddr, DirectorAddr6)
}

// configureReal prepares a real server for every forwarding method: the
// virtual addresses are its own, but it never speaks of them (arp_ignore and
// arp_announce; IPv6 answers solicitations only on the address's interface).
func configureReal(h *Host) error {
	if err := sysctls(h, [][2]string{
		{"net/ipv4/conf/all/arp_ignore", "1"},
		{"net/ipv4/conf/all/arp_announce", "2"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/eth0/rp_filter", "0"},
	}); err != nil {
		return err
	}
	for _, a := range []netip.Addr{VirtualAddr, VirtualAddr6} {
		if err := h.Address("lo", host(a)); err != nil {
			return err
		}
	}
	return defaultRoutes(h, backAddr, backAddr6)
}

func defaultRoutes(h *Host, via4, via6 netip.Addr) error {
	if err := h.Route(netip.MustParsePrefix("0.0.0.0/0"), via4); err != nil {
		return err
	}
	return h.Route(netip.MustParsePrefix("::/0"), via6)
}

func sysctls(h *Host, settings [][2]string) error {
	for _, s := range settings {
		if err := h.Sysctl(s[0], s[1]); err != nil {
			return fmt.Errorf("%s: %w", h.Name(), err)
		}
	}
	return nil
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
