// Package sched knows the schedulers of IPVS: what the packet engine needs
// worked out ahead, where a round stands after the table changed, and a model
// of every scheduler that the packet tests hold the engine against.
//
// It is pure arithmetic over lists of destinations in list order (newest
// first). It never sees a packet or a map.
package sched

import (
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// Head is the position before the first destination of the list.
const Head = -1

// A Round is where rr or wrr stands: the position used last, and for wrr the
// weight a destination must have to be taken.
type Round struct {
	Pos    int
	Weight uint32
}

// Divisor is the greatest common divisor of the positive weights, at least 1.
func Divisor(dests []lvs.Destination) uint32 {
	g := 0
	for _, d := range dests {
		a, b := g, d.Weight
		for b > 0 {
			a, b = b, a%b
		}
		g = a
	}
	return uint32(max(g, 1))
}

// Top is the weight a wrr round starts with: the largest weight less one
// under the divisor. Zero: there is nobody to choose.
func Top(dests []lvs.Destination) uint32 {
	largest := 0
	for _, d := range dests {
		largest = max(largest, d.Weight)
	}
	if largest == 0 {
		return 0
	}
	return uint32(largest) - (Divisor(dests) - 1)
}

// Begin is the round of a service that just got its destinations, the last of
// the list first, as ipvsadm adds them.
func Begin(s lvs.Scheduler, dests []lvs.Destination) Round {
	return After(s, Round{Pos: Head}, nil, dests)
}

// Start is the round of a scheduler that takes a service over with the
// destinations it has (ip_vs_wrr_init_svc).
func Start(s lvs.Scheduler, dests []lvs.Destination) Round {
	r := Round{Pos: Head}
	if s == lvs.WRR {
		r.Weight = Top(dests)
	}
	return r
}

// After is the round once the list `from` became `to`: IPVS would have seen
// the removals, then the changes, then the additions, oldest first.
func After(s lvs.Scheduler, r Round, from, to []lvs.Destination) Round {
	if slices.Equal(from, to) {
		return r
	}
	if s == lvs.WRR {
		return weightedAfter(r, from, to)
	}
	return roundAfter(r, from, to)
}

// roundAfter follows the destination used last; if it was removed, the one
// before it in the list counts as used last (ip_vs_rr_del_dest).
func roundAfter(r Round, from, to []lvs.Destination) Round {
	for pos := min(r.Pos, len(from)-1); pos >= 0; pos-- {
		if i := index(to, from[pos]); i >= 0 {
			return Round{Pos: i}
		}
	}
	return Round{Pos: Head}
}

// weightedAfter begins the list again and keeps the present weight as far as
// the new weights allow (ip_vs_wrr_dest_changed), once for every change.
func weightedAfter(r Round, from, to []lvs.Destination) Round {
	now := slices.Clone(from)
	changed := func() { r = Round{Pos: Head, Weight: weightAfter(r.Weight, now)} }
	for i := 0; i < len(now); {
		if index(to, now[i]) >= 0 {
			i++
			continue
		}
		now = slices.Delete(now, i, i+1)
		changed()
	}
	for i, d := range now {
		if w := to[index(to, d)]; w != d {
			now[i] = w
			changed()
		}
	}
	for _, d := range slices.Backward(to) {
		if index(now, d) < 0 {
			now = slices.Insert(now, 0, d)
			changed()
		}
	}
	r.Pos = Head // also when only the order changed
	return r
}

func weightAfter(cw uint32, dests []lvs.Destination) uint32 {
	di, top := Divisor(dests), Top(dests)
	switch {
	case cw > top || cw == 0:
		return top
	case di > 1:
		return cw/di*di + 1
	}
	return cw
}

func index(list []lvs.Destination, d lvs.Destination) int {
	return slices.IndexFunc(list, func(o lvs.Destination) bool { return o.Addr == d.Addr })
}
