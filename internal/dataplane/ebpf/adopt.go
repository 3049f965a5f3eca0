package ebpf

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/weir-lb/weir/internal/netif/hook"
)

// A weir that died leaves its programs on the interfaces, and the programs
// hold their maps. That is where the next one finds them: nothing depends on
// a mounted bpffs, which a namespace entered by `ip netns exec` would lose
// together with its last process.

// ErrLayout says that a running table was made by a weir whose maps this one
// cannot read.
var ErrLayout = errors.New("the running packet engine was left by another version of weir; `weir down` takes it away, with its connections, then start again")

// The names the programs have in the kernel.
const (
	progXDP     = "weir_xdp"
	progIngress = "weir_ingress"
	progEgress  = "weir_egress"
	progSweep   = "weir_sweep" // hangs nowhere
)

// A hanging is a program of weir's on an interface.
type hanging struct {
	ifindex int
	name    string // of the program
	id      ebpf.ProgramID
	tcx     bool // else clsact, for tc programs
}

// hangings finds weir's programs on the interfaces of this network namespace.
func hangings() ([]hanging, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var found []hanging
	for _, i := range ifaces {
		found = append(found, hangingsOn(i.Index)...)
	}
	return found, nil
}

func hangingsOn(ifindex int) []hanging {
	var found []hanging
	add := func(id uint32, want string, tcx bool) {
		if id != 0 && programName(ebpf.ProgramID(id)) == want {
			found = append(found, hanging{ifindex, want, ebpf.ProgramID(id), tcx})
		}
	}
	// An interface that goes away meanwhile has nothing to find.
	if id, err := hook.XDP(ifindex); err == nil {
		add(id, progXDP, false)
	}
	for _, s := range sides {
		if q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: s.tcx}); err == nil {
			for _, p := range q.Programs {
				add(uint32(p.ID), s.name, true)
			}
		}
		ids, _ := hook.Filters(ifindex, s.side)
		for _, id := range ids {
			add(id, s.name, false)
		}
	}
	return found
}

func programName(id ebpf.ProgramID) string {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// adopt opens the maps of the programs that hang on the interfaces. Nil: there
// are none.
func adopt(spec *ebpf.CollectionSpec) (map[string]*ebpf.Map, error) {
	found, err := hangings()
	if err != nil || len(found) == 0 {
		return nil, err
	}
	maps := make(map[string]*ebpf.Map)
	// The tc program for requests uses every map there is; the others follow.
	slices.SortFunc(found, func(a, b hanging) int { return rank(a) - rank(b) })
	for _, h := range found {
		if err := mapsOf(h.id, spec, maps); err != nil {
			closeMaps(maps)
			return nil, err
		}
	}
	for name := range shared(spec) {
		if maps[name] == nil {
			closeMaps(maps)
			return nil, fmt.Errorf("adopt the running packet engine: it has no map %q: %w", name, ErrLayout)
		}
	}
	return maps, nil
}

func rank(h hanging) int {
	if h.name == progIngress {
		return 0
	}
	return 1
}

func mapsOf(id ebpf.ProgramID, spec *ebpf.CollectionSpec, into map[string]*ebpf.Map) error {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return fmt.Errorf("adopt program %d: %w", id, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return fmt.Errorf("adopt program %d: %w", id, err)
	}
	ids, _ := info.MapIDs()
	for _, mid := range ids {
		m, err := ebpf.NewMapFromID(mid)
		if err != nil {
			return fmt.Errorf("adopt map %d: %w", mid, err)
		}
		mi, err := m.Info()
		if err != nil || !shared(spec)[mi.Name] || into[mi.Name] != nil {
			m.Close()
			continue
		}
		into[mi.Name] = m
	}
	return nil
}

// shared names the maps the doors have in common: all but constants.
func shared(spec *ebpf.CollectionSpec) map[string]bool {
	names := make(map[string]bool)
	for name := range spec.Maps {
		if name[0] != '.' || isGlobal(name) {
			names[name] = true
		}
	}
	return names
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}
