package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/cli"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A model has a method of its type's name, so it is embedded under another.
type model = memory.Plane

// A memoryPlane is a model body with the life of a real one.
type memoryPlane struct{ *model }

func (memoryPlane) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (memoryPlane) Close() error                  { return nil }

// A quietNetwork has nothing to tell but that it is there.
type quietNetwork struct{ wanted chan struct{} }

func (q quietNetwork) Want([]netip.Addr) {
	select {
	case q.wanted <- struct{}{}:
	default:
	}
}

func (q quietNetwork) Run(ctx context.Context, told func(lvs.Network)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.wanted:
			told(lvs.Network{})
		}
	}
}

// A safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A bench is a whole daemon on a data plane in memory.
type bench struct {
	t       *testing.T
	file    string
	plane   *memory.Plane
	removed int
	m       machinery
	log     *safeBuffer
	states  *safeBuffer // told to the service manager, one a line
	hangup  chan os.Signal
	c       *client.Client
	end     func() error // SIGTERM, and wait
	done    chan error
}

// cf is an ldirectord.cf with one real server that is always up, with the
// given weight, after more lines.
func cf(weight int, more string) string {
	return fmt.Sprintf("%s\nvirtual=192.0.2.1:80\n\treal=10.0.0.1:80 masq %d\n\tchecktype=on\n\tscheduler=rr\n", more, weight)
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{t: t, file: filepath.Join(t.TempDir(), "lb.cf"), plane: memory.New(), log: &safeBuffer{}, states: &safeBuffer{},
		hangup: make(chan os.Signal, 1)}
	b.write(text)
	socket := filepath.Join(filepath.Dir(b.file), "weir.sock")
	b.m = machinery{RunOptions: cli.RunOptions{File: b.file, Socket: socket}, lock: "@" + socket, hangup: b.hangup,
		env:    cli.Env{Stderr: b.log, Version: "test"},
		notify: func(s string) { fmt.Fprintln(b.states, s) },
		open:   func(config.Engine, *slog.Logger) (plane, error) { return memoryPlane{b.plane}, nil },
		remove: func() error { b.removed++; return nil },
		share:  newSharing,
		watch:  func(config.Engine, *slog.Logger) watcher { return quietNetwork{make(chan struct{}, 1)} }}
	b.c = client.New(socket)
	return b
}

func (b *bench) write(text string) {
	b.t.Helper()
	tmp := b.file + ".new"
	if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, b.file)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	b.done = make(chan error, 1)
	go func() { b.done <- runDaemon(ctx, b.m) }()
	b.end = func() error { cancel(); return <-b.done }
	b.eventually("ready", func() bool { return strings.Contains(b.states.String(), "READY=1") })
}

func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	select {
	case err := <-b.done:
		b.t.Fatalf("never %s, but ended: %v", what, err)
	default:
	}
	b.t.Fatalf("never %s; log:\n%s", what, b.log)
}

func (b *bench) weight() int {
	for s := range b.plane.Installed(context.Background()) {
		for _, d := range s.Destinations {
			return d.Weight
		}
	}
	return -1
}

func TestABrokenFileDoesNotStart(t *testing.T) {
	b := newBench(t, cf(1, "frob=1\nfrob2=1"))
	err := runDaemon(t.Context(), b.m)
	var ps config.Problems
	if !errors.As(err, &ps) || len(ps.Errors()) < 2 || ps.Errors()[0].Place.Line != 1 {
		t.Errorf("got %v", err)
	}
	if b.plane.Writes() != 0 {
		t.Error("something was written")
	}
}

func TestOnlyOneWeir(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	if err := runDaemon(t.Context(), b.m); !errors.Is(err, errRunning) || !strings.Contains(err.Error(), "weir status") {
		t.Errorf("the second says %v", err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
	l, err := lock(b.m.lock)
	if err != nil {
		t.Fatalf("the lock is still held: %v", err)
	}
	l.Close()
}

func TestTheEndLeavesTheTable(t *testing.T) {
	b := newBench(t, cf(3, ""))
	b.start()
	if err := b.end(); err != nil || b.removed != 0 || b.weight() != 3 {
		t.Errorf("%v, removed %d, weight %d", err, b.removed, b.weight())
	}
	if !strings.Contains(b.log.String(), "packets flow on") || !strings.HasSuffix(b.states.String(), "STOPPING=1\n") {
		t.Errorf("log:\n%s\nstates:\n%s", b.log, b.states)
	}
}

func TestReload(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	defer b.end()
	b.write(cf(2, "frob=1"))
	b.hangup <- os.Interrupt // any signal will do: run.go has chosen it
	b.eventually("refused", func() bool { return strings.Contains(b.log.String(), "configuration refused") })
	if b.weight() != 1 || !strings.Contains(b.log.String(), "line=1") {
		t.Errorf("weight %d; log:\n%s", b.weight(), b.log)
	}
	if _, err := b.c.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), b.file+":1: ") {
		t.Errorf("reload says %v", err)
	}
	if s, err := b.c.Status(t.Context()); err != nil || !strings.Contains(s.Refused, "frob") {
		t.Errorf("status %+v, %v", s, err)
	}
	b.write(cf(2, ""))
	if _, err := b.c.Reload(t.Context()); err != nil || b.weight() != 2 {
		t.Errorf("weight %d, %v", b.weight(), err)
	}
	if s, err := b.c.Status(t.Context()); err != nil || s.Refused != "" {
		t.Errorf("status %+v, %v", s, err)
	}
	b.write(cf(5, ""))
	b.hangup <- os.Interrupt
	b.eventually("reloaded", func() bool { return b.weight() == 5 })
	b.eventually("ready again", func() bool {
		s := b.states.String()
		return strings.Contains(s, "RELOADING=1\nMONOTONIC_USEC=") && strings.HasSuffix(s, "READY=1\n")
	})
}

func TestAutoReload(t *testing.T) {
	b := newBench(t, cf(1, "autoreload=yes"))
	b.start()
	defer b.end()
	before := strings.Count(b.states.String(), "RELOADING")
	b.write(cf(1, "autoreload=yes")) // the same content
	time.Sleep(2 * quietTime)
	if n := strings.Count(b.states.String(), "RELOADING"); n != before {
		t.Error("the same content was read again")
	}
	b.write(cf(4, ""))
	b.eventually("reloaded", func() bool { return b.weight() == 4 })
	b.write(cf(6, "")) // the file no longer asks to be watched
	time.Sleep(2 * quietTime)
	if b.weight() != 4 {
		t.Error("reloaded without being asked to")
	}
}

func TestDown(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	if d, err := b.c.Down(t.Context()); err != nil || len(d.Kept) != 0 {
		t.Errorf("down: %+v, %v", d, err)
	}
	if err := <-b.done; err != nil || b.removed != 1 {
		t.Errorf("end: %v, removed %d", err, b.removed)
	}
}

func TestDownKeepsWhatTheFileSays(t *testing.T) {
	b := newBench(t, cf(1, "")+"\tcleanstop=no\nvirtual=192.0.2.2:80\n\treal=10.0.0.1:80 masq\n\tchecktype=on\n")
	b.start()
	d, err := b.c.Down(t.Context())
	if want := []string{"-t 192.0.2.1:80"}; err != nil || !slices.Equal(d.Kept, want) {
		t.Errorf("down: %+v, %v", d, err)
	}
	if err := <-b.done; err != nil || b.removed != 0 {
		t.Errorf("end: %v, removed %d", err, b.removed)
	}
	n := 0
	for s := range b.plane.Installed(t.Context()) {
		n++
		if s.Key.String() != "-t 192.0.2.1:80" {
			t.Errorf("%v still stands", s.Key)
		}
	}
	if n != 1 {
		t.Errorf("%d services stand, want 1", n)
	}
}

func TestTheLogGoesToTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.log")
	b := newBench(t, cf(1, `logfile="`+path+`"`))
	b.start()
	old, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(old), "weir starts") {
		t.Errorf("%v: %s", err, old)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	b.hangup <- os.Interrupt
	b.eventually("in a new file", func() bool { _, err := os.Stat(path); return err == nil })
	if err := b.end(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "weir ends") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestJournalLines(t *testing.T) {
	var out bytes.Buffer
	log := newLog(&out, true).With("room", "x")
	log.Info("good", "n", 1)
	log.Warn("odd")
	log.Error("bad")
	log.Debug("never")
	want := "<6>msg=good room=x n=1\n<4>msg=odd room=x\n<3>msg=bad room=x\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
