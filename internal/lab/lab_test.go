package lab_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

func TestCloseRemovesEverything(t *testing.T) {
	labtest.NeedRoot(t)
	l, err := lab.New("wtclose")
	labtest.Must(t, err)
	a, b := labtest.Host(t, l, "a"), labtest.Host(t, l, "b")
	labtest.Must(t, l.Wire(lab.Port{Host: a, Name: "x"}, lab.Port{Host: b, Name: "y"}, lab.WireOptions{}))
	cmd := a.Command(t.Context(), "sleep", "60")
	labtest.Must(t, cmd.Start())
	labtest.Must(t, l.Close(), l.Close())

	if err := cmd.Wait(); err == nil {
		t.Error("a program outlived its lab")
	}
	left, _ := filepath.Glob("/run/netns/" + l.Name() + "*")
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := l.Host("late"); err == nil {
		t.Error("a closed lab took another host")
	}
}

func TestHalfBuiltClusterIsRemoved(t *testing.T) {
	labtest.NeedRoot(t)
	if _, err := lab.NewCluster("wthalf", lab.MostReals+1, lab.WireOptions{}); err == nil {
		t.Fatal("too many real servers were accepted")
	}
	// An MTU no interface takes stops the building at the first wire.
	if _, err := lab.NewCluster("wthalf", 1, lab.WireOptions{MTU: 1 << 20}); err == nil {
		t.Fatal("an absurd MTU was accepted")
	}
	left, _ := filepath.Glob("/run/netns/wthalf-*")
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCommandSeesTheMachinesFiles(t *testing.T) {
	l := labtest.New(t)
	h := labtest.Host(t, l, "h")
	want, err := os.Readlink("/proc/self/ns/mnt")
	labtest.Must(t, err)
	out, err := h.Command(t.Context(), "readlink", "/proc/self/ns/mnt").Output()
	labtest.Must(t, err)
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("mount namespace %s, want the machine's %s", got, want)
	}
	var st unix.Stat_t
	labtest.Must(t, unix.Stat(h.Path(), &st))
	out, err = h.Command(t.Context(), "stat", "-Lc", "%i", "/proc/self/ns/net").CombinedOutput()
	labtest.Must(t, err)
	if got := strings.TrimSpace(string(out)); got != strconv.FormatUint(st.Ino, 10) {
		t.Errorf("network namespace %s, want the host's %d", got, st.Ino)
	}
}

func TestDoComesBack(t *testing.T) {
	l := labtest.New(t)
	h := labtest.Host(t, l, "h")
	home, err := os.Readlink("/proc/thread-self/ns/net")
	labtest.Must(t, err)
	done := make(chan string)
	for range 8 {
		go func() {
			_ = h.Do(func() error { return nil })
			ns, _ := os.Readlink("/proc/thread-self/ns/net")
			done <- ns
		}()
	}
	for range 8 {
		if ns := <-done; ns != home {
			t.Errorf("thread stayed in %s", ns)
		}
	}
}

func TestClusterCarriesTraffic(t *testing.T) {
	for name, o := range map[string]lab.WireOptions{
		"offloads": {}, "finished packets": {NoOffload: true}, "jumbo": {MTU: 9000},
	} {
		t.Run(name, func(t *testing.T) {
			c := labtest.NewCluster(t, 2, o)
			for i, real := range c.Real {
				for _, addr := range []netip.Addr{lab.RealAddr(i), lab.RealAddr6(i)} {
					answer(t, real, netip.AddrPortFrom(addr, 80))
					if got := ask(t, c.Client, netip.AddrPortFrom(addr, 80)); got != real.Name() {
						t.Errorf("%s answered %q, want %q", addr, got, real.Name())
					}
				}
			}
		})
	}
}

// The answers of direct routing leave the real server with the virtual
// address as source, and reach the client through the director, which has
// that address itself.
func TestClusterReturnsFromTheVirtualAddress(t *testing.T) {
	c := labtest.NewCluster(t, 1, lab.WireOptions{})
	for _, p := range []struct{ from, to netip.Addr }{
		{lab.VirtualAddr, lab.ClientAddr}, {lab.VirtualAddr6, lab.ClientAddr6},
	} {
		in, err := c.Client.ListenPacket("udp", netip.AddrPortFrom(p.to, 4000).String())
		labtest.Must(t, err)
		defer in.Close()
		out, err := c.Real[0].ListenPacket("udp", netip.AddrPortFrom(p.from, 80).String())
		labtest.Must(t, err)
		defer out.Close()
		_, err = out.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.to, 4000)))
		labtest.Must(t, err, in.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, from, err := in.ReadFrom(make([]byte, 16))
		labtest.Must(t, err)
		if want := netip.AddrPortFrom(p.from, 80).String(); from.String() != want {
			t.Errorf("from %s, want %s", from, want)
		}
	}
}

// The virtual address belongs to the director: the client must find it there
// and never on a real server.
func TestDirectorOwnsTheVirtualAddress(t *testing.T) {
	c := labtest.NewCluster(t, 2, lab.WireOptions{})
	for _, addr := range []netip.Addr{lab.VirtualAddr, lab.VirtualAddr6} {
		answer(t, c.Director, netip.AddrPortFrom(addr, 81))
		if got := ask(t, c.Client, netip.AddrPortFrom(addr, 81)); got != "director" {
			t.Errorf("%s answered %q", addr, got)
		}
	}
}

// answer lets h say its name to whoever connects to addr.
func answer(t *testing.T, h *lab.Host, addr netip.AddrPort) {
	t.Helper()
	ln, err := h.Listen("tcp", addr.String())
	labtest.Must(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, h.Name())
			c.Close()
		}
	}()
}

func ask(t *testing.T, h *lab.Host, addr netip.AddrPort) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", addr.String())
	labtest.Must(t, err)
	defer c.Close()
	labtest.Must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	text, err := io.ReadAll(c)
	labtest.Must(t, err)
	return string(text)
}
