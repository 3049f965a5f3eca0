package ebpf

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// layout is WEIR_LAYOUT of types.h.
const layout = 18

// slotsEach is how many slots there are for each destination: one where it
// stands, one while its service is replaced, and on average six for the tables
// of services that hash (sh takes 256 for a service, mh 4,093).
const slotsEach = 8

// lentSets are for services that change several times a second.
const lentSets = 4096

// A door is one of the ways into the engine: an object loaded with its own
// constants over the same maps.
type door struct {
	object     func() (*ebpf.CollectionSpec, error)
	explaining bool
	shortcut   bool // the short road is open
	programs   []string
}

var (
	tcDoor  = door{object: loadEngine, shortcut: true, programs: []string{progIngress, progEgress, progSweep}}
	xdpDoor = door{object: loadEngineXDP, shortcut: true, programs: []string{progXDP}}
)

// The engine's globals (maps.h) are maps to Go, named by their sections.
const (
	globals    = ".data."
	settingMap = globals + "setting"
	filtersMap = globals + "filters"
	usesMap    = globals + "uses"
)

func isGlobal(name string) bool { return strings.HasPrefix(name, globals) }

// An engine is the loaded programs over one set of maps.
type engine struct {
	tc, xdp  *ebpf.Collection // once the doors are open
	doors    errgroup.Group   // opens them
	maps     map[string]*ebpf.Map
	seed     uint64 // of settings, which change
	settings engineSettings
	adopted  bool
}

// load makes the maps, or takes over those of a running engine, and begins to
// load fresh programs over them.
func load(o Options, log *slog.Logger) (*engine, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	spec, err := loadEngine()
	if err != nil {
		return nil, fmt.Errorf("read the packet engine: %w", err)
	}
	maps, err := adopt(spec)
	if err != nil {
		return nil, err
	}
	e := &engine{maps: maps, adopted: maps != nil}
	if e.adopted {
		err = e.readSettings()
		e.compareSizes(o, log)
	} else {
		err = e.create(spec, o)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	e.openDoors(o)
	return e, nil
}

func (e *engine) readSettings() error {
	if err := e.maps[settingMap].Lookup(uint32(0), &e.settings); err != nil {
		return fmt.Errorf("read the running engine's settings: %w", err)
	}
	if e.settings.Layout != layout {
		return ErrLayout
	}
	e.seed = e.settings.Seed
	return nil
}

func (e *engine) compareSizes(o Options, log *slog.Logger) {
	for _, t := range []struct {
		name    string
		buckets uint32
	}{{"conns4", buckets(o.Connections)}, {"conns6", buckets(o.Connections6)}, {"half4", halfBuckets(o.HalfOpen)}, {"half6", halfBuckets(o.halfOpen6)}, {"wides", buckets(o.Wide)}} {
		if have := e.maps[t.name].MaxEntries(); have != t.buckets {
			log.Warn("connection table keeps its size until `weir down`", "table", t.name, "buckets", have, "wanted", t.buckets)
		}
	}
}

// create makes the maps. They are made apart from the programs, so that both
// doors replace theirs by these.
func (e *engine) create(spec *ebpf.CollectionSpec, o Options) error {
	sizes := map[string]uint32{
		"service_ids": uint32(o.Services), "reals": 3 * uint32(o.Destinations), "services": uint32(o.Services) + 1, "sets": 2 * (uint32(o.Services) + 1 + lentSets),
		"slots": slotsEach*uint32(o.Destinations) + 1, "dests": uint32(o.Destinations) + 1, "lives": uint32(o.Destinations) + 1, "overloads": uint32(o.Destinations) + 1,
		"memberships": uint32(o.Destinations) + 1, "groups": firstGroup(slotsEach*uint32(o.Destinations)+1) + 1,
		"stats": uint32(o.Destinations) + 1, "nexthops": uint32(o.Destinations) + 1,
		"conns4": buckets(o.Connections), "conns6": buckets(o.Connections6),
		"half4": halfBuckets(o.HalfOpen), "half6": halfBuckets(o.halfOpen6), "wides": buckets(o.Wide),
	}
	e.maps = make(map[string]*ebpf.Map)
	for name := range shared(spec) {
		ms := spec.Maps[name]
		if n, ok := sizes[name]; ok {
			ms.MaxEntries = max(1, n)
		}
		if isGlobal(name) {
			ms.Flags |= unix.BPF_F_MMAPABLE // as the loader of programs expects it
		}
		m, err := ebpf.NewMap(ms)
		if err != nil {
			return fmt.Errorf("make map %s of %d entries: %w", name, ms.MaxEntries, err)
		}
		e.maps[name] = m
	}
	var seed [8]byte
	rand.Read(seed[:]) // never fails (crypto/rand)
	e.seed = binary.NativeEndian.Uint64(seed[:])
	e.settings = engineSettings{
		Layout: layout, Seed: e.seed, Since: uint64(time.Now().Unix()),
	}
	tune(&e.settings, lvs.DefaultTuning())
	if err := e.maps[settingMap].Put(uint32(0), e.settings); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// openDoors begins to load both doors at once. The verifier takes a second or
// two for each; meanwhile the table is put into the maps.
func (e *engine) openDoors(o Options) {
	if o.Mode != TC {
		e.doors.Go(func() (err error) {
			e.xdp, err = e.open(xdpDoor)
			return err
		})
	}
	e.doors.Go(func() (err error) {
		e.tc, err = e.open(tcDoor)
		return err
	})
}

// opened waits until the doors are open. Whoever needs a program asks it first.
func (e *engine) opened() error { return e.doors.Wait() }

// open loads one door's programs over the engine's maps.
func (e *engine) open(d door) (*ebpf.Collection, error) {
	spec, err := d.object()
	if err != nil {
		return nil, fmt.Errorf("read the packet engine: %w", err)
	}
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(d.programs, name) })
	shared, err := e.fit(spec, d)
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		return nil, fmt.Errorf("the kernel refuses the packet engine (weir needs Linux 6.1 or newer): %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load the packet engine (root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, is needed): %w", err)
	}
	return coll, nil
}

// fit gives an object the constants and sizes of the engine, as far as it knows
// them, and says which of the engine's maps it is to use.
func (e *engine) fit(spec *ebpf.CollectionSpec, d door) (map[string]*ebpf.Map, error) {
	for name, value := range map[string]any{
		"explaining": d.explaining, "shortcut": d.shortcut, "hash_seed": e.seed, "crc_steps": crcSteps(),
		"conn4_buckets": e.maps["conns4"].MaxEntries(), "conn6_buckets": e.maps["conns6"].MaxEntries(),
		"half4_buckets": e.maps["half4"].MaxEntries(), "half6_buckets": e.maps["half6"].MaxEntries(),
		"wide_buckets": e.maps["wides"].MaxEntries(),
	} {
		if v := spec.Variables[name]; v != nil {
			if err := v.Set(value); err != nil {
				return nil, fmt.Errorf("set %s of the packet engine: %w", name, err)
			}
		}
	}
	shared := make(map[string]*ebpf.Map)
	for name, m := range e.maps {
		if d.explaining && (name == "stats" || name == "verdicts") {
			continue // what it counts goes nowhere: its counters are its own, of no destination
		}
		if ms := spec.Maps[name]; ms != nil {
			ms.MaxEntries = m.MaxEntries()
			shared[name] = m
		}
	}
	return shared, nil
}

// program is nil where its door is not to be opened.
func (e *engine) program(name string) *ebpf.Program {
	if e.opened() != nil {
		return nil
	}
	if name == progXDP {
		if e.xdp == nil {
			return nil
		}
		return e.xdp.Programs[name]
	}
	return e.tc.Programs[name]
}

// close lets go of everything; what hangs on an interface lives on.
func (e *engine) close() {
	_ = e.opened() // what could not be loaded need not be closed
	for _, c := range []*ebpf.Collection{e.tc, e.xdp} {
		if c != nil {
			c.Close()
		}
	}
	closeMaps(e.maps)
}
