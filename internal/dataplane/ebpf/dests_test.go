package ebpf

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestDests holds the lists against a map.
func TestDests(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	ds, want := dests{}, map[destKey]*dest{}
	for n := range 3000 {
		k := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(dice.IntN(3))}), 80)}
		at := netip.AddrFrom4([4]byte{10, 0, 0, byte(dice.IntN(9))})
		if dice.IntN(2) == 0 {
			at = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(dice.IntN(9))})
		}
		key := destKey{k, netip.AddrPortFrom(at, uint16(dice.IntN(2)))}
		if ds.get(key) != want[key] {
			t.Fatalf("%v: have %v, want %v", key, ds.get(key), want[key])
		}
		if dice.IntN(2) == 0 {
			d := &dest{id: uint32(n), written: destination(k, lvs.Destination{Addr: key.addr}, 1, 0, lvs.Path{})}
			ds.put(key, d)
			want[key] = d
		} else {
			ds.remove(key)
			delete(want, key)
		}
		if !maps.Equal(maps.Collect(ds.all()), want) || ds.len() != len(want) {
			t.Fatalf("%d of %v, want %v", ds.len(), ds, want)
		}
	}
	for key := range want {
		ds.remove(key)
	}
	if len(ds) != 0 {
		t.Errorf("services without destinations are kept: %v", ds)
	}
}
