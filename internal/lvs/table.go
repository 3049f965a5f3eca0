package lvs

import (
	"encoding/binary"
	"iter"
	"slices"
)

// A Table has something for each of many services, in key order. It is a
// value: With and Without give another one, which shares with the old one all
// that is alike. Who shows a table and changes it afterwards pays for what
// changes, about log n, and never for the table.
//
// It is a treap: a search tree by key, a heap by a number made from the key.
type Table[V any] struct{ root *node[V] }

type node[V any] struct {
	key         ServiceKey
	value       V
	rank        uint64
	size        int
	left, right *node[V]
}

// TableOf is a table of what is in a map.
func TableOf[V any](m map[ServiceKey]V) Table[V] {
	keys := make([]ServiceKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, ServiceKey.Compare)
	all := make([]node[V], len(keys))
	for i, k := range keys {
		all[i] = node[V]{key: k, value: m[k], rank: rankOf(k)}
	}
	return Table[V]{heap(all)}
}

// ServiceTable is a table of services under their keys.
func ServiceTable(all ...Service) Table[Service] {
	m := make(map[ServiceKey]Service, len(all))
	for _, s := range all {
		m[s.Key] = s
	}
	return TableOf(m)
}

// heap joins nodes that are in key order.
func heap[V any](sorted []node[V]) *node[V] {
	var spine []*node[V] // from the root, always to the right
	for i := range sorted {
		n := &sorted[i]
		for len(spine) > 0 && spine[len(spine)-1].rank < n.rank {
			n.left = spine[len(spine)-1]
			n.left.count()
			spine = spine[:len(spine)-1]
		}
		if len(spine) > 0 {
			spine[len(spine)-1].right = n
		}
		spine = append(spine, n)
	}
	if len(spine) == 0 {
		return nil
	}
	for _, n := range slices.Backward(spine) {
		n.count()
	}
	return spine[0]
}

// rankOf spreads keys evenly, whatever addresses people choose.
func rankOf(k ServiceKey) uint64 {
	a := k.Addr.Addr().As16()
	h := mix(binary.BigEndian.Uint64(a[:8]))
	h = mix(h ^ binary.BigEndian.Uint64(a[8:]))
	return mix(h ^ uint64(k.Addr.Port()) ^ uint64(k.Protocol)<<16 ^ uint64(k.Family)<<24 ^ uint64(k.Mark)<<32)
}

// mix is the last step of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (n *node[V]) length() int {
	if n == nil {
		return 0
	}
	return n.size
}

func (n *node[V]) count() { n.size = 1 + n.left.length() + n.right.length() }

// over is n with other branches.
func (n *node[V]) over(left, right *node[V]) *node[V] {
	out := *n
	out.left, out.right = left, right
	out.count()
	return &out
}

// Len is how many services there are.
func (t Table[V]) Len() int { return t.root.length() }

// Get is what k has.
func (t Table[V]) Get(k ServiceKey) (v V, ok bool) {
	for n := t.root; n != nil; {
		switch c := k.Compare(n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n.value, true
		}
	}
	return v, false
}

// At is what k has, or nothing.
func (t Table[V]) At(k ServiceKey) V {
	v, _ := t.Get(k)
	return v
}

// All yields everything in key order.
func (t Table[V]) All() iter.Seq2[ServiceKey, V] {
	return func(yield func(ServiceKey, V) bool) { t.root.walk(yield) }
}

// Values yields what there is, in key order.
func (t Table[V]) Values() iter.Seq[V] {
	return func(yield func(V) bool) {
		t.root.walk(func(_ ServiceKey, v V) bool { return yield(v) })
	}
}

func (n *node[V]) walk(yield func(ServiceKey, V) bool) bool {
	return n == nil || n.left.walk(yield) && yield(n.key, n.value) && n.right.walk(yield)
}

// With is t with v for k.
func (t Table[V]) With(k ServiceKey, v V) Table[V] {
	return Table[V]{t.root.with(&node[V]{key: k, value: v, rank: rankOf(k)})}
}

func (n *node[V]) with(x *node[V]) *node[V] {
	if n == nil {
		return x.over(nil, nil)
	}
	c := x.key.Compare(n.key)
	switch {
	case c == 0:
		return x.over(n.left, n.right)
	case x.rank > n.rank: // so its key is not below n
		return x.over(n.split(x.key))
	case c < 0:
		return n.over(n.left.with(x), n.right)
	}
	return n.over(n.left, n.right.with(x))
}

// split parts what is before k from what is behind it.
func (n *node[V]) split(k ServiceKey) (before, behind *node[V]) {
	if n == nil {
		return nil, nil
	}
	if k.Compare(n.key) < 0 {
		l, r := n.left.split(k)
		return l, n.over(r, n.right)
	}
	l, r := n.right.split(k)
	return n.over(n.left, l), r
}

// Without is t without k.
func (t Table[V]) Without(k ServiceKey) Table[V] {
	if _, ok := t.Get(k); !ok {
		return t
	}
	return Table[V]{t.root.without(k)}
}

func (n *node[V]) without(k ServiceKey) *node[V] {
	switch c := k.Compare(n.key); {
	case c < 0:
		return n.over(n.left.without(k), n.right)
	case c > 0:
		return n.over(n.left, n.right.without(k))
	}
	return join(n.left, n.right)
}

// join puts a before b.
func join[V any](a, b *node[V]) *node[V] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.rank > b.rank:
		return a.over(a.left, join(a.right, b))
	}
	return b.over(join(a, b.left), b.right)
}
