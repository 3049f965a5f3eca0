package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

// A stage is a director in a namespace of its own, without any traffic but
// what the test-run facility makes. Requests leave through the interface they
// came on, the loopback, answers are routed by the kernel through the uplink.
type stage struct {
	plane    *dataplane.Plane
	links    []lvs.Link
	subjects map[bool]*subject
}

const loopback = 1 // interface index

// The addresses of the stage. A client's last 16 bits are the flow's.
var (
	vip4    = netip.MustParseAddr("192.0.2.1")
	vip6    = netip.MustParseAddr("2001:db8:1::1")
	client4 = netip.MustParseAddr("172.20.0.0")
	client6 = netip.MustParseAddr("2001:db8:9::")
	own4    = netip.MustParsePrefix("10.99.0.1/24")
	own6    = netip.MustParsePrefix("2001:db8:99::1/64")
	far4    = netip.MustParseAddr("10.99.0.2")
	far6    = netip.MustParseAddr("2001:db8:99::2")
	upMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 9}
	other4  = netip.MustParseAddr("198.51.100.1")
)

// pinned runs fn on one CPU, the last one this process may use, in a fresh
// namespace.
func pinned(fn func(h *lab.Host) error) error {
	l, err := lab.New("bench")
	if err != nil {
		return err
	}
	director, err := directorHost(l)
	if err == nil {
		err = director.Do(func() error {
			back, err := pin()
			if err != nil {
				return err
			}
			defer back()
			return fn(director)
		})
	}
	return errors.Join(err, l.Close())
}

// pin binds the calling thread, which must be locked, to one CPU.
func pin() (back func(), err error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("ask for the CPUs: %w", err)
	}
	last := -1
	for i := range 1024 {
		if all.IsSet(i) {
			last = i
		}
	}
	one.Set(last)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("keep to CPU %d: %w", last, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, nil
}

func directorHost(l *lab.Lab) (*lab.Host, error) {
	d, err := l.Host("director")
	if err != nil {
		return nil, err
	}
	far, err := l.Host("far")
	if err != nil {
		return nil, err
	}
	err = l.Wire(lab.Port{Host: d, Name: "up", Addrs: []netip.Prefix{own4, own6}},
		lab.Port{Host: far, Name: "down", MAC: upMAC, Addrs: []netip.Prefix{netip.PrefixFrom(far4, 24), netip.PrefixFrom(far6, 64)}},
		lab.WireOptions{NoOffload: true})
	if err != nil {
		return nil, err
	}
	return d, errors.Join(
		d.Sysctl("net/ipv4/ip_forward", "1"), d.Sysctl("net/ipv6/conf/all/forwarding", "1"),
		d.Route(netip.PrefixFrom(client4, 16), far4), d.Route(netip.PrefixFrom(client6, 64), far6),
		d.Neighbour("up", far4, upMAC), d.Neighbour("up", far6, upMAC))
}

// newStage loads the packet engine. The caller is in the director's namespace.
func newStage(o dataplane.Options, log *slog.Logger) (*stage, error) {
	o.Mode = dataplane.Auto
	plane, err := dataplane.Open(o, log)
	if err != nil {
		return nil, err
	}
	s := &stage{plane: plane, subjects: make(map[bool]*subject)}
	up, err := net.InterfaceByName("up")
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	// Not fit for XDP, so that it is attached nowhere; but packets may leave by it.
	s.links = []lvs.Link{
		{Index: loopback, Name: "lo", MAC: directorMAC, MTU: 65536, XDPSend: true},
		{Index: up.Index, Name: "up", MAC: [6]byte(up.HardwareAddr), MTU: up.MTU, Kind: "veth", XDPSend: true},
	}
	return s, nil
}

// behind is the engine's program of one door behind the dispatcher.
func (s *stage) behind(xdp bool) (*subject, error) {
	if s.subjects[xdp] == nil {
		p, err := s.plane.Dissect(xdp)
		if err != nil {
			return nil, err
		}
		if s.subjects[xdp], err = splice(xdp, p); err != nil {
			return nil, err
		}
	}
	return s.subjects[xdp], nil
}

// serve makes these the only services, and forgets all flows.
func (s *stage) serve(ctx context.Context, services ...lvs.Service) error {
	for old := range s.plane.Installed(ctx) {
		if err := s.plane.Drop(ctx, old.Key); err != nil {
			return err
		}
	}
	paths := make(map[netip.Addr]lvs.Path)
	for _, svc := range services {
		for _, d := range svc.Destinations {
			from := own4.Addr()
			if d.Addr.Addr().Is6() {
				from = own6.Addr()
			}
			paths[d.Addr.Addr()] = lvs.Path{Link: loopback, Via: d.Addr.Addr(), MAC: serverMAC, Source: directorMAC, MTU: 1500, From: from}
		}
	}
	if err := s.plane.Reach(ctx, lvs.Network{Links: s.links, Paths: paths}); err != nil {
		return err
	}
	for _, svc := range services {
		if err := s.plane.Put(ctx, svc); err != nil {
			return err
		}
	}
	return s.plane.ForgetFlows()
}

func (s *stage) close() error {
	for _, p := range s.subjects {
		p.close()
	}
	err := errors.Join(dataplane.Remove(), s.plane.Close())
	runtime.GC() // what was mapped of the maps is let go
	return err
}
