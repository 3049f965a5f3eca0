package ebpf

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// Dests are all destinations that have a number, by their services and in the
// order of their addresses. Their entries say what they are, so a place takes
// the eight bytes of a pointer; that of a map with keys, 100 and more.
type dests map[lvs.ServiceKey][]*dest

func (ds dests) find(k destKey) (place int, ok bool) {
	return slices.BinarySearchFunc(ds[k.service], k.addr, func(d *dest, at netip.AddrPort) int { return d.written.at().Compare(at) })
}

// get is nil if there is none.
func (ds dests) get(k destKey) *dest {
	i, ok := ds.find(k)
	if !ok {
		return nil
	}
	return ds[k.service][i]
}

// put puts d in the place of what was there.
func (ds dests) put(k destKey, d *dest) {
	i, ok := ds.find(k)
	if !ok {
		ds[k.service] = slices.Insert(ds[k.service], i, nil)
	}
	ds[k.service][i] = d
}

func (ds dests) remove(k destKey) {
	i, ok := ds.find(k)
	switch {
	case !ok:
	case len(ds[k.service]) == 1:
		delete(ds, k.service)
	default:
		ds[k.service] = slices.Delete(ds[k.service], i, i+1)
	}
}

func (ds dests) len() (n int) {
	for _, of := range ds {
		n += len(of)
	}
	return n
}

// all yields each; whoever walks takes none away.
func (ds dests) all() iter.Seq2[destKey, *dest] {
	return func(yield func(destKey, *dest) bool) {
		for k, of := range ds {
			for _, d := range of {
				if !yield(destKey{k, d.written.at()}, d) {
					return
				}
			}
		}
	}
}
