package sched

import "github.com/weir-lb/weir/internal/lvs"

// A Load is what a destination has to carry now.
type Load struct {
	Active   uint32
	Inactive uint32
	// Overloaded: it reached its upper threshold and has not fallen below the
	// lower one since.
	Overloaded bool
}

// A Model chooses as the kernel's IPVS does: slowly, in plain words.
type Model struct {
	Scheduler lvs.Scheduler
	Dests     []lvs.Destination // list order
	Round     Round
}

// NewModel is the model of a service that just got its destinations.
func NewModel(s lvs.Scheduler, dests []lvs.Destination) *Model {
	return &Model{Scheduler: s, Dests: dests, Round: Begin(s, dests)}
}

// Pick is the position of the destination a new connection goes to; false:
// nobody may take it. Loads are in list order.
func (m *Model) Pick(loads []Load) (int, bool) {
	switch m.Scheduler {
	case lvs.LC:
		return m.least(loads, func(int) uint64 { return 1 })
	case lvs.WLC:
		return m.least(loads, func(i int) uint64 { return uint64(m.Dests[i].Weight) })
	case lvs.WRR:
		return m.weighted(loads)
	default:
		return m.next(loads)
	}
}

func (m *Model) usable(i int, loads []Load) bool {
	return m.Dests[i].Weight > 0 && !loads[i].Overloaded
}

// next is rr: the first usable one after the one used last.
func (m *Model) next(loads []Load) (int, bool) {
	n := len(m.Dests)
	for k := 1; k <= n; k++ {
		i := (m.Round.Pos + k) % n
		if m.usable(i, loads) {
			m.Round.Pos = i
			return i, true
		}
	}
	return 0, false
}

// weighted is wrr: rounds through the list with a sinking weight.
func (m *Model) weighted(loads []Load) (int, bool) {
	di, top := Divisor(m.Dests), Top(m.Dests)
	if top == 0 {
		return 0, false
	}
	for rounds := 0; rounds < 3; {
		m.Round.Pos++
		if m.Round.Pos == len(m.Dests) {
			m.Round.Pos = 0
			if m.Round.Weight <= di {
				m.Round.Weight = top
				rounds++
			} else {
				m.Round.Weight -= di
			}
		}
		i := m.Round.Pos
		if m.usable(i, loads) && uint32(m.Dests[i].Weight) >= m.Round.Weight {
			return i, true
		}
	}
	return 0, false
}

// least is lc and wlc: the smallest overhead for its weight, compared
// crosswise; the first met wins a tie.
func (m *Model) least(loads []Load, weight func(int) uint64) (int, bool) {
	best, found := 0, false
	for i := range m.Dests {
		if !m.usable(i, loads) {
			continue
		}
		if !found || overhead(loads[best])*weight(i) > overhead(loads[i])*weight(best) {
			best, found = i, true
		}
	}
	return best, found
}

// overhead is ip_vs_dest_conn_overhead: an active connection weighs as much
// as 256 inactive ones, and every connection one.
func overhead(l Load) uint64 { return uint64(l.Active)*257 + uint64(l.Inactive) }
