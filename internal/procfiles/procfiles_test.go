package procfiles

import (
	"context"
	"io/fs"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
	"github.com/weir-lb/weir/internal/lvs"
)

var web = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")}

// A rig is a keeper on a table in memory.
type rig struct {
	*Keeper
	t     *testing.T
	dir   string
	snap  lvs.Snapshot
	plane *memory.Plane
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), plane: memory.New()}
	r.snap = lvs.Snapshot{Configured: true, Installed: lvs.ServiceTable(lvs.Service{Key: web, Scheduler: lvs.WLC,
		Destinations: []lvs.Destination{{Addr: netip.MustParseAddrPort("10.0.0.1:8080"), Forward: lvs.Masquerade, Weight: 3}}})}
	r.plane.Connect(lvs.Connection{Protocol: lvs.TCP, Client: netip.MustParseAddrPort("203.0.113.7:4000"), Virtual: web.Addr,
		Destination: netip.MustParseAddrPort("10.0.0.1:8080"), State: lvs.StateEstablished, Expires: 90 * time.Second})
	r.Keeper = New(Source{Snapshot: func() *lvs.Snapshot { return &r.snap }, Totals: r.plane.Totals, Connections: r.plane.Connections},
		filepath.Join(r.dir, "note"), slog.New(slog.NewTextHandler(t.Output(), nil)))
	return r
}

func (r *rig) set(dir string) {
	r.t.Helper()
	if err := r.Set(Wish{Directory: dir, Interval: time.Second, Connections: true}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) names(dir string) (names []string) {
	all, err := os.ReadDir(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestFilesAreThereAndOnlyWrittenWhenTheyChange(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join(r.dir, "proc", "net")
	r.set(dir)
	r.round(t.Context())
	if names := r.names(dir); !slices.Equal(names, append([]string{marker}, ipvsadm.Files...)) {
		t.Errorf("there are %v", names)
	}
	before := map[string]fs.FileInfo{}
	for name, want := range map[string]string{"ip_vs": "TCP  C0000201:0050 wlc  \n  -> 0A000001:1F90      Masq    3 ", "ip_vs_stats": "Conns/s",
		"ip_vs_conn": "TCP CB007107 0FA0 C0000201 0050 0A000001 1F90 ESTABLISHED      90\n", "ip_vs_app": "prot port"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		info, _ := os.Stat(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v %v\n%s", name, err, info.Mode(), text)
		}
		before[name] = info
	}
	clear := func() { r.due = map[string]time.Time{} }
	clear()
	s := r.snap.Installed.At(web)
	s.Scheduler = lvs.RR
	r.snap.Installed = r.snap.Installed.With(web, s)
	r.round(t.Context())
	for name, old := range before {
		now, _ := os.Stat(filepath.Join(dir, name))
		if os.SameFile(old, now) == (name == "ip_vs") {
			t.Errorf("%s: the same file: %v", name, os.SameFile(old, now))
		}
	}
	if err := os.Remove(filepath.Join(dir, "ip_vs")); err != nil {
		t.Fatal(err)
	}
	clear()
	r.round(t.Context())
	if _, err := os.Stat(filepath.Join(dir, "ip_vs")); err != nil {
		t.Error("a file that somebody removed is not written again")
	}
}

func TestOnlyWhatWasMadeIsRemoved(t *testing.T) {
	r := newRig(t)
	proc := filepath.Join(r.dir, "proc")
	dir := filepath.Join(proc, "net")
	r.set(dir)
	r.round(t.Context())
	if err := os.WriteFile(filepath.Join(proc, "others"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.set("") // the key is taken out
	if names := r.names(proc); !slices.Equal(names, []string{"others"}) {
		t.Errorf("left: %v", names)
	}
	if err := r.Set(Wish{Directory: proc, Interval: time.Second}); err == nil || !strings.Contains(err.Error(), "things of others") {
		t.Errorf("taken: %v", err)
	}
	mine := filepath.Join(r.dir, "mine")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	r.set(mine)
	r.round(t.Context())
	// The next weir finds it wished elsewhere, and a file that is not whole.
	if err := os.WriteFile(filepath.Join(mine, temporary+"7"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := newRig(t)
	next.note = r.note
	next.set(dir)
	next.round(t.Context())
	if names := r.names(mine); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if err := Remove(r.note); err != nil {
		t.Error(err)
	}
	if names := r.names(r.dir); !slices.Equal(names, []string{"mine", "proc"}) || !slices.Equal(r.names(proc), []string{"others"}) {
		t.Errorf("left: %v", names)
	}
}

func TestWhatIsNotDueOrNotWishedIsNotWritten(t *testing.T) {
	r := newRig(t)
	r.set(filepath.Join(r.dir, "x"))
	r.round(t.Context())
	r.due["ip_vs"] = time.Now().Add(time.Hour)
	r.snap.Installed = lvs.Table[lvs.Service]{}
	r.round(t.Context())
	if text, _ := os.ReadFile(filepath.Join(r.dir, "x", "ip_vs")); !strings.Contains(string(text), "TCP") {
		t.Error("written before it was due")
	}
	r.wish.Connections = false
	if err := os.Remove(filepath.Join(r.dir, "x", "ip_vs_conn")); err != nil {
		t.Fatal(err)
	}
	r.due = map[string]time.Time{}
	r.round(t.Context())
	if _, err := os.Stat(filepath.Join(r.dir, "x", "ip_vs_conn")); err == nil {
		t.Error("connections are written though they are not wished")
	}
}

func TestRunEndsAndLeavesTheFiles(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join(r.dir, "x")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.set(dir)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "ip_vs_stats_percpu")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no file")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ip_vs")); err != nil {
		t.Error(err)
	}
}

// TestWritingTakesATwentiethOfTheTime: what takes long is due later than the
// interval.
func TestWritingTakesATwentiethOfTheTime(t *testing.T) {
	r := newRig(t)
	r.set(filepath.Join(r.dir, "x"))
	const slow = 100 * time.Millisecond
	quick := r.source.Connections
	r.source.Connections = func(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error] {
		time.Sleep(slow)
		return quick(ctx, f)
	}
	began := time.Now()
	r.round(t.Context())
	if due := r.due["ip_vs_conn"].Sub(began); due < share*slow {
		t.Errorf("due after %v", due)
	}
}
