package netif

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// A scene is a director between two networks, with a watcher on it:
//
//	front 10.1.0.1/24 – peer       back 10.2.0.1/24, fd02::1/64 – real 10.2.0.2, fd02::2
//	                                                             (router to 10.3.0.0/24, fd03::/64)
type scene struct {
	t                    *testing.T
	lab                  *lab.Lab
	director, peer, real *lab.Host
	watcher              *Watcher
	told                 chan lvs.Network
	stop                 func() // the watcher
}

var (
	realMAC  = [6]byte{2, 0, 0, 0, 2, 2}
	otherMAC = [6]byte{2, 0, 0, 0, 2, 9}
)

func newScene(t *testing.T, o Options) *scene {
	l := labtest.New(t)
	s := &scene{t: t, lab: l, director: labtest.Host(t, l, "director"), peer: labtest.Host(t, l, "peer"),
		real: labtest.Host(t, l, "real"), told: make(chan lvs.Network, 100)}
	labtest.Must(t,
		l.Wire(lab.Port{Host: s.director, Name: "front", Addrs: prefixes("10.1.0.1/24")},
			lab.Port{Host: s.peer, Name: "eth0"}, lab.WireOptions{}),
		l.Wire(lab.Port{Host: s.director, Name: "back", Addrs: prefixes("10.2.0.1/24", "fd02::1/64")},
			lab.Port{Host: s.real, Name: "eth0", MAC: realMAC[:], Addrs: prefixes("10.2.0.2/24", "fd02::2/64")}, lab.WireOptions{MTU: 1400}))
	s.watcher = NewWatcher(slog.New(slog.NewTextHandler(t.Output(), nil)), o)
	s.start()
	return s
}

// start runs the watcher on the director until the test ends.
func (s *scene) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- s.director.Do(func() error {
			return s.watcher.Run(ctx, func(n lvs.Network) { s.told <- n })
		})
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(s.stop)
}

func (s *scene) want(addrs ...string) {
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	s.watcher.Want(list)
}

// until reads what is told until it looks as wished, and gives that.
func (s *scene) until(what string, ok func(lvs.Network) bool) lvs.Network {
	s.t.Helper()
	var last lvs.Network
	for deadline := time.After(5 * time.Second); ; {
		select {
		case last = <-s.told:
			if ok(last) {
				return last
			}
		case <-deadline:
			s.t.Fatalf("%s: not told within 5s; last %+v", what, last)
		}
	}
}

// quiet fails if anything is told for a while.
func (s *scene) quiet(d time.Duration) {
	s.t.Helper()
	select {
	case n := <-s.told:
		s.t.Errorf("told without need: %+v", n)
	case <-time.After(d):
	}
}

func (s *scene) run(h *lab.Host, line string) string {
	s.t.Helper()
	words := strings.Fields(line)
	out, err := h.Command(s.t.Context(), words[0], words[1:]...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

func prefixes(texts ...string) (ps []netip.Prefix) {
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}

func pathIs(addr string, ok func(lvs.Path) bool) func(lvs.Network) bool {
	return func(n lvs.Network) bool {
		p, there := n.Paths[netip.MustParseAddr(addr)]
		return there && ok(p)
	}
}

func names(n lvs.Network) string {
	var names []string
	for _, l := range n.Links {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

func TestNothingIsToldBeforeItIsWanted(t *testing.T) {
	s := newScene(t, Options{})
	s.quiet(300 * time.Millisecond)
	s.want()
	if n := s.until("links", func(n lvs.Network) bool { return true }); names(n) != "front back" || len(n.Paths) != 0 {
		t.Errorf("told %+v", n)
	}
	s.want()
	s.quiet(300 * time.Millisecond)
}

func TestLinks(t *testing.T) {
	s := newScene(t, Options{})
	s.want()
	n := s.until("links", func(n lvs.Network) bool { return names(n) == "front back" })
	back := n.Links[1]
	mac, err := s.director.MAC("back")
	labtest.Must(t, err)
	want := lvs.Link{Index: back.Index, Name: "back", MAC: [6]byte(mac), MTU: 1400, Kind: "veth", Driver: "veth",
		XDPUntold: back.XDPUntold} // which the kernel decides
	if back != want {
		t.Errorf("link %+v, want %+v", back, want)
	}

	labtest.Must(t, s.director.MTU("back", 1300))
	s.until("another MTU", func(n lvs.Network) bool { return n.Links[1].MTU == 1300 })
	labtest.Must(t, s.director.Down("front"))
	s.until("an interface down", func(n lvs.Network) bool { return names(n) == "back" })
	labtest.Must(t, s.lab.Wire(lab.Port{Host: s.director, Name: "late"}, lab.Port{Host: s.peer, Name: "late"}, lab.WireOptions{}))
	s.until("an interface that appears", func(n lvs.Network) bool { return names(n) == "back late" })
	labtest.Must(t, s.director.Bridge("br0"))
	s.run(s.director, "ip link set late master br0")
	s.until("the port of a bridge", func(n lvs.Network) bool { return names(n) == "back br0" })
	labtest.Must(t, s.director.Unplug("back"))
	s.until("an interface that is gone", func(n lvs.Network) bool { return names(n) == "br0" })
}

func TestOnlyNamedLinks(t *testing.T) {
	s := newScene(t, Options{Interfaces: []string{"back", "missing"}})
	s.want()
	s.until("links", func(n lvs.Network) bool { return names(n) == "back" })
	labtest.Must(t, s.director.Down("front"))
	s.quiet(300 * time.Millisecond)
}

func TestPaths(t *testing.T) {
	s := newScene(t, Options{})
	labtest.Must(t,
		s.director.Route(netip.MustParsePrefix("10.3.0.0/24"), netip.MustParseAddr("10.2.0.2")),
		s.director.Route(netip.MustParsePrefix("fd03::/64"), netip.MustParseAddr("fd02::2")))
	s.run(s.director, "ip route add 10.4.0.0/24 via inet6 fd02::2 dev back mtu 1280")
	s.run(s.director, "ip route add blackhole 10.5.0.0/24")
	s.run(s.director, "ip route add unreachable fd05::/64")
	all := []string{"10.2.0.2", "10.3.0.7", "10.4.0.7", "10.5.0.7", "10.6.0.7", "10.2.0.255", "224.0.0.1", "fd02::2", "fd03::7",
		"fd05::7", "fd06::7", "10.1.0.1", "fd02::1", "127.0.0.1", "127.9.9.9", "::1"}
	s.want(all...)
	n := s.until("all next hops", func(n lvs.Network) bool {
		return n.Paths[netip.MustParseAddr("10.3.0.7")].Resolved() && n.Paths[netip.MustParseAddr("fd03::7")].Resolved()
	})
	back := n.Links[1]
	lo := 1
	through := func(via string, mtu int, from string) lvs.Path {
		return lvs.Path{Link: back.Index, Via: netip.MustParseAddr(via), MAC: realMAC, Source: back.MAC, MTU: mtu,
			From: netip.MustParseAddr(from)}
	}
	local := func(addr, from string) lvs.Path {
		return lvs.Path{Local: true, Link: lo, Via: netip.MustParseAddr(addr), MTU: 65536, From: netip.MustParseAddr(from)}
	}
	want := map[string]lvs.Path{
		"10.2.0.2": through("10.2.0.2", 1400, "10.2.0.1"),
		"10.3.0.7": through("10.2.0.2", 1400, "10.2.0.1"),
		"10.4.0.7": through("fd02::2", 1280, "10.2.0.1"),
		"fd02::2":  through("fd02::2", 1400, "fd02::1"),
		"fd03::7":  through("fd02::2", 1400, "fd02::1"),
		"10.1.0.1": local("10.1.0.1", "10.1.0.1"), "fd02::1": local("fd02::1", "fd02::1"),
		"127.0.0.1": local("127.0.0.1", "127.0.0.1"), "127.9.9.9": local("127.9.9.9", "127.0.0.1"), "::1": local("::1", "::1"),
	}
	for _, addr := range all {
		want, ok := want[addr]
		if !ok {
			want.Trouble = lvs.NoRoute
		}
		if got := n.Paths[netip.MustParseAddr(addr)]; got != want {
			t.Errorf("path to %s\n is %+v\nwant %+v", addr, got, want)
		}
	}
	if len(n.Paths) != len(all) {
		t.Errorf("%d paths, want %d", len(n.Paths), len(all))
	}
}

// A neighbour that does not answer stays dead while the kernel asks it again, and
// until it answers.
func TestDeadNeighbour(t *testing.T) {
	s := newScene(t, Options{})
	for _, family := range []string{"ipv4", "ipv6"} {
		labtest.Must(t, s.director.Sysctl("net/"+family+"/neigh/back/retrans_time_ms", "20"),
			s.director.Sysctl("net/"+family+"/neigh/back/interval_probe_time_ms", "100"))
	}
	s.want("10.2.0.9", "fd02::9")
	both := func(is func(lvs.Path) bool) func(lvs.Network) bool {
		four, six := pathIs("10.2.0.9", is), pathIs("fd02::9", is)
		return func(n lvs.Network) bool { return four(n) && six(n) }
	}
	s.until("nobody there", both(func(p lvs.Path) bool { return p.Trouble == lvs.NoNeighbour && !p.Resolved() }))
	labtest.Must(t, s.real.Address("eth0", netip.MustParsePrefix("10.2.0.9/24")), s.real.Do(func() error {
		// Its question for the director's address is heard; the kernel itself asks every 5 s only.
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 2, 0, 9)}, &net.UDPAddr{IP: net.IPv4(10, 2, 0, 1), Port: 9})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("here"))
		return err
	}))
	s.until("there again", pathIs("10.2.0.9", func(p lvs.Path) bool { return p.Trouble == "" && p.Resolved() }))
}

func TestStillDead(t *testing.T) {
	w, at := NewWatcher(slog.New(slog.DiscardHandler), Options{}), hop{1, netip.MustParseAddr("10.2.0.9")}
	asking := neighbour{managed: true, asking: true}
	if w.stillDead(at, asking).failed {
		t.Error("dead before it was asked")
	}
	w.hops.Store(&map[hop]neighbour{at: {managed: true, failed: true}})
	if n := w.stillDead(at, asking); n != (neighbour{managed: true, failed: true}) {
		t.Errorf("asked again: %+v", n)
	}
	if n := w.stillDead(at, neighbour{managed: true, mac: realMAC}); n.failed {
		t.Error("dead, though it answered")
	}
}

func TestPathsFollowTheNetwork(t *testing.T) {
	s := newScene(t, Options{})
	s.want("10.2.0.2", "10.7.0.1", "fd02::2")
	s.until("the first path", pathIs("10.2.0.2", lvs.Path.Resolved))

	labtest.Must(t, s.director.Route(netip.MustParsePrefix("10.7.0.0/24"), netip.MustParseAddr("10.2.0.2")))
	s.until("a route that appears", pathIs("10.7.0.1", func(p lvs.Path) bool { return p.MAC == realMAC }))
	labtest.Must(t, s.director.Unroute(netip.MustParsePrefix("10.7.0.0/24")))
	s.until("a route that is gone", pathIs("10.7.0.1", func(p lvs.Path) bool { return p == lvs.Path{Trouble: lvs.NoRoute} }))

	labtest.Must(t, s.director.Address("front", netip.MustParsePrefix("10.7.0.1/32")))
	s.until("an address of its own", pathIs("10.7.0.1", func(p lvs.Path) bool { return p.Local }))
	labtest.Must(t, s.director.Unaddress("front", netip.MustParsePrefix("10.7.0.1/32")))
	s.until("no more its own", pathIs("10.7.0.1", func(p lvs.Path) bool { return !p.Local }))

	// The real server gets another network card and says so.
	labtest.Must(t, s.real.SetMAC("eth0", net.HardwareAddr(otherMAC[:])))
	for _, family := range []string{"10.2.0.2", "fd02::2"} {
		s.run(s.director, fmt.Sprintf("ip neigh replace %s dev back lladdr 02:00:00:00:02:09 nud reachable", family))
		s.until("another MAC of "+family, pathIs(family, func(p lvs.Path) bool { return p.MAC == otherMAC }))
	}

	labtest.Must(t, s.director.Down("back"))
	s.until("the wire is pulled", pathIs("10.2.0.2", func(p lvs.Path) bool { return !p.Resolved() }))
	labtest.Must(t, s.director.Up("back"))
	s.until("and plugged in", pathIs("10.2.0.2", func(p lvs.Path) bool { return p.MAC == otherMAC }))
}

func TestNeighboursAreKeptAndReleased(t *testing.T) {
	s := newScene(t, Options{})
	s.run(s.director, "ip neigh add 10.2.0.3 dev back lladdr 02:00:00:00:02:03 nud permanent")
	s.run(s.director, "ip neigh add 10.2.0.4 dev back managed")
	s.want("10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.9", "fd02::2")
	s.until("both families", func(n lvs.Network) bool {
		return pathIs("10.2.0.2", lvs.Path.Resolved)(n) && pathIs("fd02::2", lvs.Path.Resolved)(n)
	})

	managed := func(addr string) bool {
		return strings.Contains(s.run(s.director, "ip neigh show "+addr), " managed")
	}
	for addr, want := range map[string]bool{"10.2.0.2": true, "fd02::2": true, "10.2.0.9": true, "10.2.0.4": true, "10.2.0.3": false} {
		if got := managed(addr); got != want {
			t.Errorf("%s managed: %t, want %t", addr, got, want)
		}
	}
	if got := s.run(s.director, "ip neigh show 10.2.0.3"); !strings.Contains(got, "PERMANENT") {
		t.Errorf("a neighbour written down for ever became %s", got)
	}

	s.want("fd02::2")
	s.until("fewer addresses", func(n lvs.Network) bool { return len(n.Paths) == 1 })
	eventually(t, "what is not needed is taken back", func() bool { return !managed("10.2.0.2") && !managed("10.2.0.9") })
	if !managed("fd02::2") || !managed("10.2.0.4") {
		t.Error("too much was taken back")
	}

	// Another process than the one that made them, as weir down may be. That
	// one has ended, or it would keep them anew.
	s.stop()
	if !managed("fd02::2") {
		t.Error("an entry went with the watcher that made it")
	}
	labtest.Must(t, s.director.Do(Release))
	if managed("fd02::2") {
		t.Error("an entry of weir's is left after release")
	}
	if !managed("10.2.0.4") || !strings.Contains(s.run(s.director, "ip neigh show 10.2.0.3"), "PERMANENT") {
		t.Error("release took what weir did not make")
	}
}

// A watcher that begins must not take away what the one before it made: the
// packets of that one still flow.
func TestNewcomerKeepsWhatItFinds(t *testing.T) {
	s := newScene(t, Options{})
	s.want("10.2.0.2")
	s.until("resolved", pathIs("10.2.0.2", lvs.Path.Resolved))
	s.watcher = NewWatcher(slog.New(slog.DiscardHandler), Options{})
	s.start()
	s.quiet(300 * time.Millisecond)
	if got := s.run(s.director, "ip neigh show 10.2.0.2"); !strings.Contains(got, " managed") {
		t.Errorf("neighbour is %s", got)
	}
}

// Confirmations of a neighbour and strangers are no reason to look again.
func TestNewsThatDoNotMatter(t *testing.T) {
	s := newScene(t, Options{})
	s.want("10.2.0.2")
	s.until("resolved", pathIs("10.2.0.2", lvs.Path.Resolved))
	s.run(s.director, "ip neigh change 10.2.0.2 dev back nud stale")
	s.run(s.director, "ip neigh add 10.1.0.77 dev front lladdr 02:00:00:00:00:77")
	labtest.Must(t, s.director.Address("front", netip.MustParsePrefix("10.1.0.200/32")))
	s.quiet(500 * time.Millisecond)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
