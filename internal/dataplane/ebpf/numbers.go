package ebpf

import (
	"slices"

	"github.com/weir-lb/weir/internal/dataplane"
)

// numbers gives out the numbers of one array; zero is none.
type numbers struct {
	first uint32
	size  uint32 // entries of the array
	next  uint32 // never given out yet
	free  []uint32
}

func newNumbers(size uint32) *numbers { return numbersFrom(1, size) }

// numbersFrom gives out those from first on.
func numbersFrom(first, size uint32) *numbers { return &numbers{first: first, size: size, next: first} }

func (n *numbers) take() (uint32, error) {
	if k := len(n.free); k > 0 {
		id := n.free[k-1]
		n.free = n.free[:k-1]
		return id, nil
	}
	if n.next >= n.size {
		return 0, dataplane.ErrFull
	}
	n.next++
	return n.next - 1, nil
}

func (n *numbers) give(id uint32) { n.free = append(n.free, id) }

// keep marks what a running engine uses; after the last call, rest must be told.
func (n *numbers) keep(used map[uint32]bool) {
	for id := range used {
		n.next = max(n.next, id+1)
	}
	for id := n.first; id < n.next; id++ {
		if !used[id] {
			n.free = append(n.free, id)
		}
	}
}

// A span is a run of slots.
type span struct{ first, count uint32 }

// spans gives out runs of slots, first fit. Freed runs join their neighbours.
type spans struct {
	free []span // by first, never touching
}

func newSpans(size uint32) *spans { return &spans{free: []span{{1, size - 1}}} }

func (s *spans) take(count uint32) (uint32, error) {
	if count == 0 {
		return 0, nil
	}
	for i := range s.free {
		f := &s.free[i]
		if f.count < count {
			continue
		}
		first := f.first
		f.first += count
		f.count -= count
		if f.count == 0 {
			s.free = slices.Delete(s.free, i, i+1)
		}
		return first, nil
	}
	return 0, dataplane.ErrFull
}

func (s *spans) give(r span) {
	if r.count == 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(s.free, r, func(a, b span) int { return int(a.first) - int(b.first) })
	s.free = slices.Insert(s.free, i, r)
	if i+1 < len(s.free) && s.free[i].first+s.free[i].count == s.free[i+1].first {
		s.free[i].count += s.free[i+1].count
		s.free = slices.Delete(s.free, i+1, i+2)
	}
	if i > 0 && s.free[i-1].first+s.free[i-1].count == s.free[i].first {
		s.free[i-1].count += s.free[i].count
		s.free = slices.Delete(s.free, i, i+1)
	}
}

// keep takes out what a running engine uses.
func (s *spans) keep(used []span) {
	for _, u := range used {
		for i := range s.free {
			f := s.free[i]
			if u.count == 0 || u.first < f.first || u.first+u.count > f.first+f.count {
				continue
			}
			s.free = slices.Delete(s.free, i, i+1)
			s.give(span{f.first, u.first - f.first})
			s.give(span{u.first + u.count, f.first + f.count - u.first - u.count})
			break
		}
	}
}
