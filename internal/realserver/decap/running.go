package decap

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/realserver"
)

// Running finds what is attached in this network namespace, on the interfaces
// of these names, and what it has counted; nil: nothing.
func Running() (*realserver.Unwrap, []realserver.Fate, error) {
	found, err := hangings()
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	// They share their maps, unless an Attach was killed halfway; then the
	// next one puts it right.
	u, seen, err := look(found[0].id)
	if err != nil {
		return nil, nil, fmt.Errorf("read the unwrapping program: %w", err)
	}
	for _, h := range found {
		if i, err := net.InterfaceByIndex(h.ifindex); err == nil {
			u.Links = append(u.Links, i.Name)
		}
	}
	slices.Sort(u.Links)
	return u, seen, nil
}

func look(id ebpf.ProgramID) (*realserver.Unwrap, []realserver.Fate, error) {
	maps, err := mapsOf(id)
	defer func() {
		for _, m := range maps {
			m.Close()
		}
	}()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range []string{unwrapperMapFates, unwrapperMapTakes, unwrapperMapVips, unwrapperMapOuters, unwrapperMapPeers} {
		if maps[name] == nil {
			return nil, nil, fmt.Errorf("it has no map %q: another version of weir attached it; run weir realserver up again", name)
		}
	}
	u, err := read(maps)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(u.VIPs, netip.Addr.Compare)
	slices.SortFunc(u.Outers, netip.Addr.Compare)
	slices.SortFunc(u.From, netip.Prefix.Compare)
	seen, err := counted(maps[unwrapperMapFates])
	return &u, seen, err
}

func counted(m *ebpf.Map) (list []realserver.Fate, err error) {
	for n, f := range fates {
		if f.Name == "" {
			continue
		}
		var each []uint64
		if err := m.Lookup(uint32(n), &each); err != nil {
			return nil, err
		}
		for _, c := range each {
			f.Packets += c
		}
		list = append(list, f)
	}
	return list, nil
}

func mapsOf(id ebpf.ProgramID) (map[string]*ebpf.Map, error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	ids, _ := info.MapIDs()
	maps := map[string]*ebpf.Map{}
	for _, mid := range ids {
		m, err := ebpf.NewMapFromID(mid)
		if err != nil {
			return maps, err
		}
		mi, err := m.Info()
		if err != nil {
			m.Close()
			return maps, err
		}
		maps[mi.Name] = m
	}
	return maps, nil
}
