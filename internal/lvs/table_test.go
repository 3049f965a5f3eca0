package lvs

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func numbered(i int) ServiceKey {
	if i%5 == 0 {
		return ServiceKey{Mark: uint32(i + 1), Family: IPv4}
	}
	return ServiceKey{Protocol: TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 7), 1}), uint16(i))}
}

// TestTable: whatever is done to it, it has what a map has, in key order, and
// tables shown before stay as they were.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[ServiceKey]int{}
		table := TableOf(model)
		type shown struct {
			table Table[int]
			model map[ServiceKey]int
		}
		var before []shown
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			k := numbered(rapid.IntRange(0, 40).Draw(t, "key"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				table = table.Without(k)
				delete(model, k)
			case 1:
				before = append(before, shown{table, maps.Clone(model)})
			case 2:
				table = TableOf(model)
			default:
				v := rapid.Int().Draw(t, "value")
				table, model[k] = table.With(k, v), v
			}
		}
		for _, s := range append(before, shown{table, model}) {
			if got := maps.Collect(s.table.All()); !maps.Equal(got, s.model) || s.table.Len() != len(s.model) {
				t.Fatalf("%v, %d; want %v", got, s.table.Len(), s.model)
			}
			keys := slices.Collect(maps.Keys(s.model))
			slices.SortFunc(keys, ServiceKey.Compare)
			if got := slices.Collect(keysOf(s.table)); !slices.Equal(got, keys) {
				t.Fatalf("order %v, want %v", got, keys)
			}
			for _, k := range keys {
				if v, ok := s.table.Get(k); !ok || v != s.model[k] {
					t.Fatalf("%v: %d, %v", k, v, ok)
				}
			}
		}
	})
}

func keysOf(t Table[int]) func(func(ServiceKey) bool) {
	return func(yield func(ServiceKey) bool) {
		for k := range t.All() {
			if !yield(k) {
				return
			}
		}
	}
}

// TestTableIsFlat: a change walks a short way, also where keys come in order
// and whether the table was made at once or bit by bit.
func TestTableIsFlat(t *testing.T) {
	const n = 10_000
	model, grown := map[ServiceKey]int{}, Table[int]{}
	for i := range n {
		k := ServiceKey{Protocol: TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(i+1))}
		model[k] = i
		grown = grown.With(k, i)
	}
	for name, table := range map[string]Table[int]{"made": TableOf(model), "grown": grown} {
		if d := depth(table.root); d > 60 {
			t.Errorf("%s: a way of %d through %d services", name, d, n)
		}
	}
}

func depth[V any](n *node[V]) int {
	if n == nil {
		return 0
	}
	return 1 + max(depth(n.left), depth(n.right))
}
