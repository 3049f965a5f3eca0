package ebpf

import (
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
)

// What a measurement needs to know of an engine from inside. Nothing that
// forwards packets uses it.

// Dissected is one door's program as it was loaded: what it is made of, and
// every map it names, filled as they are.
type Dissected struct {
	Program *ebpf.ProgramSpec
	Maps    map[string]*ebpf.Map
}

// Dissect lays a door open: the program for arriving packets of XDP, or of tc.
func (p *Plane) Dissect(xdp bool) (Dissected, error) {
	if err := p.engine.opened(); err != nil {
		return Dissected{}, err
	}
	name, d, loaded := progIngress, tcDoor, p.engine.tc
	if xdp {
		name, d, loaded = progXDP, xdpDoor, p.engine.xdp
	}
	if loaded == nil {
		return Dissected{}, fmt.Errorf("%s is not loaded in mode %s", name, p.opts.Mode)
	}
	spec, err := d.object()
	if err != nil {
		return Dissected{}, fmt.Errorf("read the packet engine: %w", err)
	}
	return Dissected{spec.Programs[name], maps.Clone(loaded.Maps)}, nil
}

// Transplant loads another XDP object over the engine's maps, with its
// constants, and lays it open as Dissect does, by the names of its programs.
// Close lets go of it.
func (p *Plane) Transplant(object func() (*ebpf.CollectionSpec, error), names []string) (all map[string]Dissected, done func(), err error) {
	if err := p.engine.opened(); err != nil {
		return nil, nil, err
	}
	coll, err := p.engine.open(door{object: object, shortcut: true, programs: names})
	if err != nil {
		return nil, nil, err
	}
	spec, err := object()
	if err != nil {
		coll.Close()
		return nil, nil, err
	}
	all = make(map[string]Dissected)
	for _, name := range names {
		all[name] = Dissected{spec.Programs[name], coll.Maps}
	}
	return all, coll.Close, nil
}

// Programs are all that were loaded, by name.
func (p *Plane) Programs() map[string]*ebpf.Program {
	if p.engine.opened() != nil {
		return nil
	}
	all := maps.Clone(p.engine.tc.Programs)
	if p.engine.xdp != nil {
		maps.Copy(all, p.engine.xdp.Programs)
	}
	return all
}

// flowMaps are what packets write about their flows.
var flowMaps = []string{"conns4", "conns6", "half4", "half6", "wides", "lives", "groups", "overloads", usesMap}

// ForgetFlows empties the connection tables and what is counted of them, at
// once. No packet may be on its way.
func (p *Plane) ForgetFlows() error {
	for _, name := range flowMaps {
		m := p.engine.maps[name]
		if m == nil {
			return fmt.Errorf("forget flows: the engine has no map %s", name)
		}
		if err := zero(m); err != nil {
			return fmt.Errorf("forget flows in %s: %w", name, err)
		}
	}
	return nil
}

func zero(m *ebpf.Map) error {
	mem, err := m.Memory()
	if err != nil {
		empty := make([]byte, m.ValueSize())
		for i := range m.MaxEntries() {
			if err := m.Put(i, empty); err != nil {
				return err
			}
		}
		return nil
	}
	nothing := make([]byte, 1<<20)
	for at := int64(0); at < int64(mem.Size()); at += int64(len(nothing)) {
		if _, err := mem.WriteAt(nothing[:min(int64(len(nothing)), int64(mem.Size())-at)], at); err != nil {
			return err
		}
	}
	return nil
}
