// Package procfiles keeps the texts of the kernel's /proc/net/ip_vs* fresh as
// files, for programs that read those. It looks at snapshots and counters, and
// writes into one directory of its own.
//
// It never touches a directory that holds things of others, and takes away
// only what it made.
package procfiles

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
	"github.com/weir-lb/weir/internal/lvs"
)

// share of the time that may go into writing one file: a twentieth.
const share = 20

// A Source is what the files tell.
type Source struct {
	Snapshot    func() *lvs.Snapshot
	Totals      func(ctx context.Context) (lvs.Totals, error)
	Connections func(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error]
}

// A Wish says where the files are to be, and how often they are looked after.
type Wish struct {
	Directory   string // empty: nowhere
	Interval    time.Duration
	Connections bool // those that have a line for each connection, too
}

// A Keeper keeps the files fresh. Set and Run may be called from anywhere.
type Keeper struct {
	source Source
	log    *slog.Logger
	note   string // path of the file that remembers the directory

	mu      sync.Mutex // held while files are written, too
	wish    Wish
	seen    map[string][sha256.Size]byte
	due     map[string]time.Time
	problem string // told last
	woken   chan struct{}
}

// New is a keeper without a wish. What it has made is remembered in the file
// note.
func New(s Source, note string, log *slog.Logger) *Keeper {
	return &Keeper{source: s, log: log, note: note, woken: make(chan struct{}, 1)}
}

// Set keeps files where w says from now, and takes those elsewhere away, also
// those of a weir before this one.
func (k *Keeper) Set(w Wish) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := remembered(k.note)
	if old != "" && old != w.Directory {
		if err := Remove(k.note); err != nil {
			return err
		}
	}
	changed := w != k.wish
	k.wish = Wish{}
	if w.Directory != "" {
		if err := take(w.Directory, k.note); err != nil {
			return err
		}
	}
	k.wish = w
	if changed {
		k.seen, k.due = map[string][sha256.Size]byte{}, map[string]time.Time{}
		select {
		case k.woken <- struct{}{}:
		default:
		}
	}
	return nil
}

// Run writes files until ctx ends, and leaves them: packets flow on.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(k.round(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.woken:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// round writes what is due and has changed, and gives the time to the next.
func (k *Keeper) round(ctx context.Context) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wish.Directory == "" || !k.source.Snapshot().Configured {
		return time.Second
	}
	var problem error
	for _, name := range ipvsadm.Files {
		began := time.Now()
		if k.due[name].After(began) || !k.wish.Connections && ofConnections(name) {
			continue
		}
		if err := k.write(ctx, name); err != nil && ctx.Err() == nil {
			problem = err
		}
		took := time.Since(began)
		k.due[name] = began.Add(max(k.wish.Interval-time.Millisecond, share*took))
	}
	k.tell(problem)
	return k.wish.Interval
}

// tell logs a problem once.
func (k *Keeper) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != k.problem && text != "" {
		k.log.Warn("proc files are not fresh", "error", err)
	}
	k.problem = text
}

func ofConnections(name string) bool { return strings.HasPrefix(name, "ip_vs_conn") }

// write puts a new file in the place of one, if it says something else.
func (k *Keeper) write(ctx context.Context, name string) error {
	f, err := os.CreateTemp(k.wish.Directory, temporary+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // it is not there if all went well
	defer f.Close()
	sum := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	if err := k.print(ctx, b, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	now := [sha256.Size]byte(sum.Sum(nil))
	path := filepath.Join(k.wish.Directory, name)
	if _, err := os.Lstat(path); err == nil && k.seen[name] == now {
		return nil
	}
	if err := f.Chmod(0o644); err != nil { // as open as the kernel's
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	k.seen[name] = now
	return nil
}

// print is what weir proc prints.
func (k *Keeper) print(ctx context.Context, w io.StringWriter, name string) error {
	var text string
	switch {
	case ofConnections(name):
		return k.connections(ctx, w, name == "ip_vs_conn_sync")
	case name == "ip_vs_app":
		text = ipvsadm.FileApp()
	default:
		t, err := k.source.Totals(ctx)
		if err != nil {
			return err
		}
		switch name {
		case "ip_vs":
			text = ipvsadm.FileTable(entries(k.source.Snapshot(), t))
		case "ip_vs_stats":
			text = ipvsadm.FileStats(t.All, t.AllRates)
		default:
			text = ipvsadm.FileStatsPerCPU(t.All, t.AllRates)
		}
	}
	_, err := w.WriteString(text)
	return err
}

func entries(s *lvs.Snapshot, t lvs.Totals) []ipvsadm.Entry {
	out := make([]ipvsadm.Entry, 0, s.Installed.Len())
	for v := range s.Installed.Values() {
		out = append(out, ipvsadm.Entry{Service: v, Counters: t.Services[v.Key]})
	}
	return out
}

func (k *Keeper) connections(ctx context.Context, w io.StringWriter, sync bool) error {
	if _, err := w.WriteString(ipvsadm.FileConnectionTitle(sync)); err != nil {
		return err
	}
	for c, err := range k.source.Connections(ctx, lvs.ConnectionFilter{}) {
		if err != nil {
			return err
		}
		line := ipvsadm.Connection{Protocol: c.Protocol, Client: c.Client, Virtual: c.Virtual, Destination: c.Destination,
			State: c.StateName(), Expires: c.Expires}.FileLine(sync)
		if _, err := w.WriteString(line); err != nil {
			return err
		}
	}
	return nil
}
