package main

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// A syncingPlane has sync daemons as the kernel has them: what they say is held
// against the real one in the guest.
type syncingPlane struct {
	memoryPlane
	mu      sync.Mutex
	daemons []lvs.SyncDaemon
}

// syncing gives the daemon a data plane that exchanges connections.
func (b *bench) syncing() {
	b.m.open = func(config.Engine, *slog.Logger) (plane, error) {
		return &syncingPlane{memoryPlane: memoryPlane{b.plane}}, nil
	}
}

// mixed tells whether a destination is of another family than its service.
func (p *syncingPlane) mixed() bool {
	for s, err := range p.Installed(context.Background()) {
		if err == nil && slices.ContainsFunc(s.Destinations, func(d lvs.Destination) bool { return lvs.FamilyOf(d.Addr.Addr()) != s.Key.AF() }) {
			return true
		}
	}
	return false
}

func (p *syncingPlane) Put(ctx context.Context, s lvs.Service) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range s.Destinations {
		if len(p.daemons) > 0 && lvs.FamilyOf(d.Addr.Addr()) != s.Key.AF() {
			return lvs.ErrInvalid
		}
	}
	return p.memoryPlane.Put(ctx, s)
}

func (p *syncingPlane) StartSync(_ context.Context, d lvs.SyncDaemon) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mixed():
		return lvs.ErrInvalid
	case p.find(d.Role) >= 0:
		return lvs.ErrDaemonRuns
	case d.Interface != "eth0" && d.Interface != "d1":
		return lvs.ErrNoInterface
	}
	d.Port, d.TTL = max(d.Port, 1), max(d.TTL, 1)
	if d.Port == 1 {
		d.Port = 8848
	}
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	if d.MaxLength == 0 {
		d.MaxLength = 1472
		if d.Group.Is6() {
			d.MaxLength = 1452
		}
	}
	if d.Role == lvs.SyncBackup {
		d.MaxLength = max(d.MaxLength, 1024)
	}
	p.daemons = append(p.daemons, d)
	slices.SortFunc(p.daemons, func(a, b lvs.SyncDaemon) int { return strings.Compare(string(b.Role), string(a.Role)) })
	return nil
}

func (p *syncingPlane) find(r lvs.SyncRole) int {
	return slices.IndexFunc(p.daemons, func(d lvs.SyncDaemon) bool { return d.Role == r })
}

func (p *syncingPlane) StopSync(_ context.Context, r lvs.SyncRole) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.find(r)
	if i < 0 {
		return lvs.ErrNoDaemon
	}
	p.daemons = slices.Delete(p.daemons, i, i+1)
	return nil
}

func (p *syncingPlane) SyncDaemons(context.Context) ([]lvs.SyncDaemon, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.daemons), nil
}

// TestWithoutSync: where connections are not exchanged that is said, and there
// is nothing to stop or to list.
func TestWithoutSync(t *testing.T) {
	b := newBench(t, "services: []\n")
	b.start()
	for _, tt := range []struct {
		words, out, errs string
		code             int
	}{
		{"--start-daemon master", "", "Protocol not available: connections are exchanged only with dataplane: ipvs: not supported by this data plane\n", 255},
		{"--stop-daemon backup", "", "No daemon is running\n", 255},
		{"-L --daemon", "", "", 0},
	} {
		out, errs, code := b.speak("", append([]string{"ipvsadm"}, strings.Fields(tt.words)...)...)
		if out != tt.out || errs != tt.errs || code != tt.code {
			t.Errorf("%s: %d %q %q", tt.words, code, out, errs)
		}
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestSyncOverHTTP: sync daemons are started and stopped, and what cannot be is
// refused with a type.
func TestSyncOverHTTP(t *testing.T) {
	b := newBench(t, "services: []\n")
	b.syncing()
	b.start()
	const all, master = "/v1/sync-daemons", `{"role":"master","interface":"eth0","sync_id":5,"group":"239.1.2.3"}`
	for _, step := range []struct {
		method, path, body string
		status             int
		kind               string // of the problem
	}{
		{"DELETE", all + "/master", "", 404, "no-daemon"},
		{"DELETE", all + "/third", "", 422, ""},
		{"POST", all, `{"role":"master","interface":"nosuch0"}`, 422, "no-interface"},
		{"POST", all, `{"role":"master","interface":"eth0","group":"10.0.0.1"}`, 422, "invalid"},
		{"POST", all, `{"role":"master","interface":"eth0","sync_id":256}`, 422, ""},
		{"POST", all, `{"role":"third","interface":"eth0"}`, 422, ""},
		{"POST", all, master, 201, ""},
		{"POST", all, master, 409, "daemon-runs"},
		{"GET", all, "", 200, ""},
		{"DELETE", all + "/master", "", 204, ""},
	} {
		status, _, v := b.ask(step.method, step.path, step.body)
		kind, _ := v["type"].(string)
		if status != step.status || step.kind != "" && kind != "urn:weir:"+step.kind {
			t.Errorf("%s %s %s: %d %v", step.method, step.path, step.body, status, v)
		}
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
