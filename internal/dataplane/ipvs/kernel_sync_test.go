package ipvs

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestKernelSync: sync daemons are started with every value, listed as they
// are, and refused in weir's words; those weir started end with it.
func TestKernelSync(t *testing.T) {
	kernelOr(t, func(t *testing.T) {
		s, record := newSpace(t), filepath.Join(t.TempDir(), "ipvs")
		p := openIn(t, s, record)
		running := func(want ...lvs.SyncDaemon) {
			t.Helper()
			if all, err := p.SyncDaemons(t.Context()); err != nil || !slices.Equal(all, want) {
				t.Errorf("running %v, %v; want %v", all, err, want)
			}
		}
		start := func(d lvs.SyncDaemon, want error) {
			t.Helper()
			if err := p.StartSync(t.Context(), d); !errors.Is(err, want) {
				t.Errorf("%v: %v", d, err)
			}
		}
		stop := func(r lvs.SyncRole, want error) {
			t.Helper()
			if err := p.StopSync(t.Context(), r); !errors.Is(err, want) {
				t.Errorf("stop %s: %v", r, err)
			}
		}
		running()
		stop(lvs.SyncMaster, lvs.ErrNoDaemon)
		start(lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "nosuch0"}, lvs.ErrNoInterface)
		start(lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "lo", Group: netip.MustParseAddr("10.0.0.1")}, lvs.ErrInvalid)

		master := lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "lo", ID: 255, MaxLength: 1000, Group: netip.MustParseAddr("239.1.2.3"), Port: 9000, TTL: 5}
		backup := lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "lo", MaxLength: 2000, Group: netip.MustParseAddr("ff02::81"), Port: 8849, TTL: 1}
		start(backup, nil)
		running(backup)
		start(master, nil)
		running(master, backup)
		start(master, lvs.ErrDaemonRuns)
		stop(lvs.SyncMaster, nil)
		running(backup)

		start(lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "lo"}, nil)
		byDefault := lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "lo", MaxLength: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
		running(byDefault, backup)

		mixed := webs()
		mixed.Destinations = []lvs.Destination{{Addr: netip.MustParseAddrPort("[2001:db8::50]:80"), Forward: lvs.Tunnel, Weight: 1}}
		if err := p.Put(t.Context(), mixed); !errors.Is(err, lvs.ErrInvalid) {
			t.Errorf("a destination of another family while a daemon runs: %v", err)
		}
		stop(lvs.SyncBackup, nil)
		for range 10 { // some before their thread has begun
			stop(lvs.SyncMaster, nil)
			start(byDefault, nil)
		}
		stop(lvs.SyncMaster, nil)
		put(t, p, mixed)
		start(master, lvs.ErrInvalid)
		drop(t, p, mixed.Key)

		if _, err := p.kernel.ask(t.Context(), cmdNewDaemon, false, daemonOfAnother(t)); err != nil {
			t.Fatal(err)
		}
		start(master, nil)
		p = openIn(t, s, record) // as if it had been killed
		if err := p.Remove(t.Context(), nil); err != nil {
			t.Error(err)
		}
		running(lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "lo", ID: 7, MaxLength: 65507, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1})
		stop(lvs.SyncBackup, nil)
	})
}

// daemonOfAnother is what another program tells the kernel.
func daemonOfAnother(t *testing.T) []byte {
	t.Helper()
	b, err := encode(func(e *netlink.AttributeEncoder) {
		nested(e, attrDaemon, func(n *netlink.AttributeEncoder) {
			encodeSync(n, lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "lo", ID: 7})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
