package ebpf

import (
	"iter"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// Graves hold the destinations that were removed, by their services: who counts
// for one service needs those of no other.
type graves map[lvs.ServiceKey]map[netip.AddrPort]*dest

func (g graves) dig(k destKey, d *dest) {
	if g[k.service] == nil {
		g[k.service] = make(map[netip.AddrPort]*dest)
	}
	g[k.service][k.addr] = d
}

// open takes a destination out, if it is there.
func (g graves) open(k destKey) {
	delete(g[k.service], k.addr)
	if len(g[k.service]) == 0 {
		delete(g, k.service)
	}
}

// all yields every grave; whoever walks may open the one at hand.
func (g graves) all() iter.Seq2[destKey, *dest] {
	return func(yield func(destKey, *dest) bool) {
		for k, of := range g {
			for at, d := range of {
				if !yield(destKey{k, at}, d) {
					return
				}
			}
		}
	}
}
