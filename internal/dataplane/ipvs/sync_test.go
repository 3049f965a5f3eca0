package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/mdlayher/netlink"
	"pgregory.net/rapid"

	"github.com/weir-lb/weir/internal/lvs"
)

func anySync(t *rapid.T) lvs.SyncDaemon {
	d := lvs.SyncDaemon{Role: rapid.SampledFrom([]lvs.SyncRole{lvs.SyncMaster, lvs.SyncBackup}).Draw(t, "role"),
		Interface: rapid.StringMatching(`[a-z][a-z0-9.]{0,14}`).Draw(t, "interface"), ID: rapid.Uint8().Draw(t, "id"),
		MaxLength: rapid.Uint16().Draw(t, "maxlen"), Port: rapid.Uint16().Draw(t, "port"), TTL: rapid.Uint8().Draw(t, "ttl")}
	if rapid.Bool().Draw(t, "group") {
		d.Group = addrs(families().Draw(t, "family")).Draw(t, "group")
	}
	return d
}

func TestSyncRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySync(t)
		b, err := encode(func(e *netlink.AttributeEncoder) { encodeSync(e, want) })
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeSync(b); err != nil || got != want {
			t.Fatalf("%v became %v, %v", want, got, err)
		}
	})
}

// TestSyncAsTheKernelHasIt: the very bytes, in the host's order where the
// kernel has it so.
func TestSyncAsTheKernelHasIt(t *testing.T) {
	b, err := encode(func(e *netlink.AttributeEncoder) {
		e.Uint32(1, 2)
		e.String(2, "eth1")
		e.Uint32(3, 255)
		e.Uint16(4, 1472)
		e.Bytes(5, []byte{224, 0, 0, 81})
		e.Uint16(7, 8848)
		e.Uint8(8, 3)
		e.Uint32(99, 1) // of a later kernel
	})
	if err != nil {
		t.Fatal(err)
	}
	want := lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "eth1", ID: 255, MaxLength: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 3}
	if d, err := decodeSync(b); err != nil || d != want {
		t.Errorf("%v, %v", d, err)
	}
	for name, write := range map[string]func(e *netlink.AttributeEncoder){
		"without a state":     func(e *netlink.AttributeEncoder) { e.String(daemonInterface, "eth0") },
		"in a third state":    func(e *netlink.AttributeEncoder) { e.Uint32(daemonState, 3) },
		"with a large number": func(e *netlink.AttributeEncoder) { e.Uint32(daemonState, 1); e.Uint32(daemonID, 256) },
		"with a short state":  func(e *netlink.AttributeEncoder) { e.Uint8(daemonState, 1) },
	} {
		b, err := encode(write)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := decodeSync(b); !errors.Is(err, errCodec) {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

func FuzzDecodeSync(f *testing.F) {
	b, err := encode(func(e *netlink.AttributeEncoder) {
		encodeSync(e, lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "eth0", Group: netip.MustParseAddr("ff02::81"), TTL: 1})
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		want, err := decodeSync(b)
		if err != nil {
			return
		}
		b, err = encode(func(e *netlink.AttributeEncoder) { encodeSync(e, want) })
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeSync(b); err != nil || got != want {
			t.Errorf("%v became %v, %v", want, got, err)
		}
	})
}

var syncMaster = lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "eth0", MaxLength: 1472}

// TestSyncOnAFake: what is refused has weir's words, and weir takes away only
// the daemon it started.
func TestSyncOnAFake(t *testing.T) {
	p, f := newFake(t)
	refused := func(d lvs.SyncDaemon, want error) {
		t.Helper()
		if err := p.StartSync(t.Context(), d); !errors.Is(err, want) {
			t.Errorf("%v: %v", d, err)
		}
	}
	refused(lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "nosuch0"}, lvs.ErrNoInterface)
	if err := p.StopSync(t.Context(), lvs.SyncMaster); !errors.Is(err, lvs.ErrNoDaemon) {
		t.Error(err)
	}
	if before := p.record.settings(); len(before) > 0 {
		t.Errorf("what was refused is remembered: %v", before)
	}
	backup := lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "eth0", MaxLength: 1472}
	f.daemons = map[lvs.SyncRole]lvs.SyncDaemon{lvs.SyncBackup: backup} // somebody else's
	if err := p.StartSync(t.Context(), lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "eth0"}); err != nil {
		t.Fatal(err)
	}
	refused(syncMaster, lvs.ErrDaemonRuns)
	refused(backup, lvs.ErrDaemonRuns)
	if all, err := p.SyncDaemons(t.Context()); err != nil || !slices.Equal(all, []lvs.SyncDaemon{syncMaster, backup}) {
		t.Errorf("%v, %v", all, err)
	}
	again := reopen(t, p.record.path, f) // weir is killed, and started again
	if err := again.Remove(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if all, err := again.SyncDaemons(t.Context()); err != nil || !slices.Equal(all, []lvs.SyncDaemon{backup}) {
		t.Errorf("after it was removed: %v, %v", all, err)
	}
}

// TestSyncSomebodyWasQuicker: a daemon that is gone already does not stop weir
// from leaving.
func TestSyncSomebodyWasQuicker(t *testing.T) {
	p, f := newFake(t)
	if err := p.StartSync(t.Context(), syncMaster); err != nil {
		t.Fatal(err)
	}
	clear(f.daemons)
	if err := p.Remove(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestSyncOfASilentKernel: whether a daemon was stopped is seen by what runs.
func TestSyncOfASilentKernel(t *testing.T) {
	p, f := newFake(t)
	f.deaf = true
	for _, f.stuck = range []bool{true, false} {
		if _, runs := f.daemons[lvs.SyncMaster]; !runs {
			if err := p.StartSync(t.Context(), syncMaster); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.StopSync(t.Context(), lvs.SyncMaster); (err != nil) != f.stuck {
			t.Errorf("stuck %v: %v", f.stuck, err)
		}
	}
}

// TestSyncErrors: the kernel's words for sync daemons do not become those for
// services.
func TestSyncErrors(t *testing.T) {
	for _, tt := range []struct {
		e    syscall.Errno
		cmd  uint8
		want error
	}{
		{syscall.EEXIST, cmdNewDaemon, lvs.ErrDaemonRuns}, {syscall.ESRCH, cmdDelDaemon, lvs.ErrNoDaemon},
		{syscall.ENODEV, cmdNewDaemon, lvs.ErrNoInterface}, {syscall.EINVAL, cmdNewDaemon, lvs.ErrInvalid},
		{syscall.EPERM, cmdNewDaemon, syscall.EPERM}, {syscall.EEXIST, cmdNewDest, lvs.ErrDestinationExists},
	} {
		if err := explain(fmt.Errorf("netlink: %w", tt.e), tt.cmd, lvs.Service{}); !errors.Is(err, tt.want) {
			t.Errorf("%v of %d: %v", tt.e, tt.cmd, err)
		}
	}
}
