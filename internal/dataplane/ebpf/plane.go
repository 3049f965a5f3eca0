package ebpf

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

var (
	_ dataplane.Dataplane = (*Plane)(nil)
	_ dataplane.Observer  = (*Plane)(nil)
)

// A Plane is the eBPF data plane of one network namespace.
type Plane struct {
	opts   Options
	log    *slog.Logger
	engine *engine
	writes atomic.Uint64

	// mu guards the table and the paths. Changes come from one goroutine;
	// readers and the sweeper are others.
	mu    sync.Mutex
	table table
	// batching says that more changes come: what depends on all services waits.
	batching bool
	// unsettled says that what depends on all services could not be written.
	unsettled bool
	paths     map[netip.Addr]lvs.Path
	hops      hops
	bits      engineFilter // as written
	sieve     sieve        // as it should be
	kinds     kinds
	// base is what destinations counted before their numbers were freed.
	base lvs.Table[lvs.Counters]
	// zeroings counts how often counters were emptied: who adds them up without
	// the lock sees that he has to do it again.
	zeroings uint64
	links    map[int]lvs.Link
	modes    map[string]string
	use      lvs.ConnectionUse

	tuning  lvs.Tuning
	ruled   []engineRule // as written
	waited  time.Time    // what was replaced before is read by no packet
	lacking int          // pages missing to amemthresh
	// fault makes writes fail, in tests.
	fault func(name string) error
	reals map[engineServiceKey]uint32
}

// Open loads the engine, or takes over the one a former weir left running in
// this network namespace, with its services and connections. Packets flow
// through a new engine once Reach has named interfaces.
func Open(o Options, log *slog.Logger) (*Plane, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	e, err := load(o, log)
	if err != nil {
		return nil, err
	}
	p := over(e, o, log)
	if e.adopted {
		if err := p.restore(); err != nil {
			e.close()
			return nil, fmt.Errorf("adopt the running packet engine: %w", err)
		}
		log.Info("packet engine adopted", "services", p.table.services.Len(), "destinations", p.table.dests.len())
	}
	return p, nil
}

// over is a plane over a loaded engine whose table is empty.
func over(e *engine, o Options, log *slog.Logger) *Plane {
	return &Plane{
		opts: o, log: log, engine: e, paths: make(map[netip.Addr]lvs.Path), links: make(map[int]lvs.Link),
		modes: make(map[string]string), sieve: newSieve(), tuning: lvs.DefaultTuning(),
		table: table{
			dests: make(dests), gone: make(graves),
			orphans:    make(map[lvs.ServiceKey][]*dest),
			serviceIDs: restroom{numbers: newNumbers(e.maps["services"].MaxEntries())},
			lent:       restroom{numbers: numbersFrom(e.maps["services"].MaxEntries(), e.maps["sets"].MaxEntries()/2)},
			destIDs:    newNumbers(e.maps["dests"].MaxEntries()),
			slots:      newSpans(e.maps["slots"].MaxEntries()),
		},
		hops: newHops(e.maps["nexthops"].MaxEntries()),
	}
}

// Adopted tells whether Open found a running engine.
func (p *Plane) Adopted() bool { return p.engine.adopted }

// Close lets go of the engine. What hangs on interfaces keeps forwarding.
func (p *Plane) Close() error {
	p.engine.close()
	return nil
}

// Plane implements dataplane.Observer.
func (p *Plane) Plane() lvs.Plane {
	p.mu.Lock()
	defer p.mu.Unlock()
	return lvs.Plane{Name: "ebpf", Modes: maps.Clone(p.modes), Since: time.Unix(int64(p.engine.settings.Since), 0)}
}

// wrote counts a write.
func (p *Plane) wrote(name string) error {
	p.writes.Add(1)
	if p.fault != nil {
		return p.fault(name)
	}
	return nil
}

// Writes is how many times a map was written, for tests of "nothing changed".
func (p *Plane) Writes() uint64 { return p.writes.Load() }

func (p *Plane) write(name string, key, value any) error {
	if err := p.wrote(name); err != nil {
		return err
	}
	if err := p.engine.maps[name].Update(key, value, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (p *Plane) erase(name string, key any) error {
	if err := p.wrote(name); err != nil {
		return err
	}
	if err := p.engine.maps[name].Delete(key); err != nil {
		return fmt.Errorf("erase from %s: %w", name, err)
	}
	return nil
}

// unread tells whether no packet can be looking at what was replaced then.
func (p *Plane) unread(since time.Time) bool {
	return since.Before(p.waited) || time.Since(since) > graceless
}

// wait returns when no packet can be looking at what was replaced before: the
// global memory barrier of Linux waits for all readers the kernel protects.
func (p *Plane) wait() {
	began := time.Now()
	defer func() { p.waited = began }()
	const global = 1 // MEMBARRIER_CMD_GLOBAL
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		// Not with full dynticks. A program runs for microseconds.
		time.Sleep(10 * time.Millisecond)
	}
}
