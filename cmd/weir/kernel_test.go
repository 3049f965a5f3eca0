package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestKernelWithoutIPVS: where the kernel has none, weir ends with the one
// sentence that says what to do, and leaves nothing behind.
func TestKernelWithoutIPVS(t *testing.T) {
	if _, err := os.Stat("/proc/net/ip_vs"); err == nil {
		t.Skip("this kernel has IPVS; TestKernelIPVS uses it in the guest")
	}
	dir := t.TempDir()
	e := config.Default().Engine
	e.Dataplane = config.IPVS
	_, err := opener(filepath.Join(dir, "weir.sock"))(e, slog.New(slog.DiscardHandler))
	const want = "this kernel has no IPVS: load it with modprobe ip_vs, or use dataplane: ebpf"
	if fmt.Sprint(err) != want {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestUnfitOptions: an option of weir's own engine does not go with the
// kernel's IPVS, wherever each was said.
func TestUnfitOptions(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.m.Engine.Dataplane, b.m.Engine.Mode = "ipvs", "xdp"
	if err := runDaemon(t.Context(), b.m); err == nil || !strings.Contains(err.Error(), "mode: not with dataplane: ipvs") {
		t.Errorf("%v", err)
	}
}

// A sharingPlane takes away only what it put in.
type sharingPlane struct {
	memoryPlane
	gone chan []lvs.ServiceKey
}

func (p sharingPlane) Remove(_ context.Context, keep []lvs.ServiceKey) error {
	p.gone <- keep
	return nil
}

// TestDownOfASharedTable: the data plane is asked, since only it knows what
// there is weir's.
func TestDownOfASharedTable(t *testing.T) {
	b := newBench(t, cf(1, "cleanstop=no"))
	gone := make(chan []lvs.ServiceKey, 1)
	b.m.open = func(config.Engine, *slog.Logger) (plane, error) { return sharingPlane{memoryPlane{b.plane}, gone}, nil }
	b.start()
	if _, err := b.c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	if kept := <-gone; len(kept) != 1 || b.removed != 0 || b.weight() != 1 {
		t.Errorf("kept %v; %d times all was removed; weight %d", kept, b.removed, b.weight())
	}
}

// TestNobodyWatchesTheNetwork: a data plane that finds its own ways has no
// watcher, and the configuration is applied all the same.
func TestNobodyWatchesTheNetwork(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.m.watch = func(config.Engine, *slog.Logger) watcher { return nil }
	b.start()
	defer b.end()
	if s, err := b.c.Status(t.Context()); err != nil || !s.Configured {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestKernelRecordStandsBesideTheSocket(t *testing.T) {
	if got := kernelTable("/run/weir/netns-7/weir.sock").Record; got != "/run/weir/netns-7/ipvs" {
		t.Error(got)
	}
}
