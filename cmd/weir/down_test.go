package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weir-lb/weir/internal/cli"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/netif"
)

// Both ways of going down take weir's neighbour entries away, and leave those
// of others.
func TestDownTakesNeighboursAway(t *testing.T) {
	for name, down := range map[string]func() error{
		"asked by a running weir": system(cli.Env{}, cli.RunOptions{}, nil).remove,
		"without one":             func() error { return removeLeft(t.Context(), filepath.Join(t.TempDir(), "weir.sock")) },
	} {
		t.Run(name, func(t *testing.T) {
			l := labtest.New(t)
			here, there := labtest.Host(t, l, "here"), labtest.Host(t, l, "there")
			labtest.Must(t, l.Wire(
				lab.Port{Host: here, Name: "back", Addrs: []netip.Prefix{netip.MustParsePrefix("10.2.0.1/24")}},
				lab.Port{Host: there, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("10.2.0.2/24")}}, lab.WireOptions{}))
			labtest.Must(t, here.Do(writeDown), keepResolved(t, here, "10.2.0.2"))
			if before := neighbours(t, here); !slices.Equal(before, []string{"10.2.0.2", "10.2.0.3"}) {
				t.Fatalf("before: %v", before)
			}
			labtest.Must(t, here.Do(down))
			if after := neighbours(t, here); !slices.Equal(after, []string{"10.2.0.3"}) {
				t.Errorf("after: %v", after)
			}
		})
	}
}

// writeDown makes the entry of somebody else.
func writeDown() error {
	link, err := netlink.LinkByName("back")
	if err != nil {
		return err
	}
	return netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
		Family: netlink.FAMILY_V4, IP: net.IPv4(10, 2, 0, 3), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 3}})
}

// keepResolved is a weir that wants addr, and ends.
func keepResolved(t *testing.T, h *lab.Host, addr string) error {
	w := netif.NewWatcher(slog.New(slog.NewTextHandler(t.Output(), nil)), netif.Options{})
	w.Want([]netip.Addr{netip.MustParseAddr(addr)})
	ctx, enough := context.WithTimeout(t.Context(), 10*time.Second)
	defer enough()
	return h.Do(func() error { return w.Run(ctx, func(lvs.Network) { enough() }) })
}

func neighbours(t *testing.T, h *lab.Host) (out []string) {
	labtest.Must(t, h.Do(func() error {
		link, err := netlink.LinkByName("back")
		if err != nil {
			return err
		}
		all, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
		for _, n := range all {
			out = append(out, n.IP.String())
		}
		return err
	}))
	slices.Sort(out)
	return out
}

func TestWithoutPrivilegeSaysWhatToDo(t *testing.T) {
	if err := privileged(fmt.Errorf("load: %w", syscall.EPERM)); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "run weir as root") {
		t.Errorf("EPERM: %v", err)
	}
	for _, err := range []error{nil, errRunning} {
		if got := privileged(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
