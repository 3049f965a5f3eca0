package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
)

// Counters are what can be known of the packet engine's cost without a clock.
type Counters struct {
	Kernel   string             `json:"kernel"` // the one that verified and translated
	Programs map[string]Program `json:"programs"`
	Paths    map[string]Calls   `json:"paths"`
}

// A Program is the size of one program of the engine.
type Program struct {
	Verified uint32 `json:"verified"` // instructions the verifier looked at
	Jited    uint32 `json:"jited"`    // bytes of machine code
}

// Count counts, for each program and each road of a packet.
func Count(ctx context.Context, log *slog.Logger) (c Counters, err error) {
	var u unix.Utsname
	_ = unix.Uname(&u) // fails for a bad address only
	c = Counters{Kernel: series(unix.ByteSliceToString(u.Release[:])), Programs: make(map[string]Program), Paths: make(map[string]Calls)}
	err = pinned(func(*lab.Host) error {
		s, err := newStage(dataplane.Options{Connections: 4096, Wide: 4096, Services: 16, Destinations: 4096}, log)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.sizes(c.Programs); err != nil {
			return err
		}
		for _, xdp := range []bool{true, false} {
			if err := s.paths(ctx, xdp, c.Paths); err != nil {
				return err
			}
		}
		return nil
	})
	return c, err
}

// series is a kernel's version without what does not change its verifier much.
func series(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func (s *stage) sizes(into map[string]Program) error {
	for name, p := range s.plane.Programs() {
		i, err := p.Info()
		if err != nil {
			return fmt.Errorf("ask about %s: %w", name, err)
		}
		verified, _ := i.VerifiedInstructions()
		jited, _ := i.JitedSize()
		into[name] = Program{verified, jited}
	}
	return nil
}

// paths sends one packet down each road.
func (s *stage) paths(ctx context.Context, xdp bool, into map[string]Calls) error {
	p, err := s.plane.Dissect(xdp)
	if err != nil {
		return err
	}
	copied, m, err := marked(p)
	if err != nil {
		return err
	}
	defer m.seen.Close()
	under, err := splice(xdp, copied)
	if err != nil {
		return err
	}
	defer under.close()
	opener, err := s.behind(false)
	if err != nil {
		return err
	}
	for _, r := range append(known(), fresh()...) {
		if err := s.serve(ctx, r.service); err != nil {
			return err
		}
		if !r.anew {
			if err := opener.open(r, tries); err != nil {
				return err
			}
		}
		least, err := s.least(ctx, trial{r, xdp, under, nil}, m)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", r.name, doorNames[xdp], err)
		}
		into[r.name+", "+doorNames[xdp]] = least
	}
	return nil
}

// tries are how many flows are looked at on each road: where one stands in the
// table depends on chance, and whoever does not stand first in it is looked for
// twice.
const tries = 64

// least are the calls of the flow that needs the fewest.
func (s *stage) least(ctx context.Context, t trial, m *marks) (least Calls, err error) {
	for i := range uint32(tries) {
		r := run{frame: t.packet, reply: t.reply, flows: tries, first: i, times: 1}
		if !t.anew {
			// The first packet in a tick moves the connection's time on; another follows it.
			if _, err := t.under.one(r); err != nil {
				return least, err
			}
		}
		if err := m.clear(); err != nil {
			return least, err
		}
		if _, err := s.checked(ctx, t, r, tries); err != nil {
			return least, err
		}
		c, err := m.made()
		if err != nil {
			return least, err
		}
		if i == 0 || c.Lookups+len(c.Helpers) < least.Lookups+len(least.Helpers) {
			least = c
		}
	}
	return least, nil
}

// grows is how much larger a program may be than it was written down, in
// percent. Compilers and the fixes of a kernel series move these figures by a
// few; a stage more on the road moves them by more.
const grows = 10

// Against says what is worse in c than in what was written down. Calls are
// exact. Sizes say nothing of another kernel's verifier and translator.
func (c Counters) Against(was Counters) (worse []string) {
	for _, path := range slices.Sorted(maps.Keys(c.Paths)) {
		now := c.Paths[path]
		before, known := was.Paths[path]
		if !known {
			worse = append(worse, path+": not written down yet")
			continue
		}
		if now.Lookups > before.Lookups {
			worse = append(worse, fmt.Sprintf("%s: %d look-ups in maps, were %d", path, now.Lookups, before.Lookups))
		}
		if len(now.Helpers) > len(before.Helpers) {
			worse = append(worse, fmt.Sprintf("%s: helpers %v, were %v", path, now.Helpers, before.Helpers))
		}
	}
	if c.Kernel != was.Kernel {
		return worse
	}
	for _, name := range slices.Sorted(maps.Keys(c.Programs)) {
		now, before := c.Programs[name], was.Programs[name]
		if now.Verified > before.Verified*(100+grows)/100 {
			worse = append(worse, fmt.Sprintf("%s: the verifier looks at %d instructions, were %d", name, now.Verified, before.Verified))
		}
		if now.Jited > before.Jited*(100+grows)/100 {
			worse = append(worse, fmt.Sprintf("%s: %d bytes of machine code, were %d", name, now.Jited, before.Jited))
		}
	}
	return worse
}

const countersFile = "counters.json"

// Write writes the counters down below docs.
func (c Counters) Write(docs string) error {
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	dir := filepath.Join(docs, "benchmarks")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, countersFile), append(text, '\n'), 0o644))
}

// ReadCounters reads what was written down.
func ReadCounters(docs string) (c Counters, err error) {
	text, err := os.ReadFile(filepath.Join(docs, "benchmarks", countersFile))
	if err != nil {
		return c, fmt.Errorf("read the counters to compare with (make bench-counters writes them): %w", err)
	}
	return c, json.Unmarshal(text, &c)
}

// Text is for people at a terminal.
func (c Counters) Text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.Programs)) {
		p := c.Programs[name]
		fmt.Fprintf(&b, "%-14s the verifier looks at %s instructions, %s bytes of machine code\n", name, grouped(int64(p.Verified)), grouped(int64(p.Jited)))
	}
	for _, path := range slices.Sorted(maps.Keys(c.Paths)) {
		p := c.Paths[path]
		fmt.Fprintf(&b, "%-46s %3d look-ups, %d helpers: %s\n", path, p.Lookups, len(p.Helpers), strings.Join(p.Helpers, " "))
	}
	return b.String()
}
