package sched

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

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
	weight := func(i int) uint64 { return uint64(m.Dests[i].Weight) }
	switch m.Scheduler {
	case lvs.LC:
		return m.least(loads, overhead, func(int) uint64 { return 1 })
	case lvs.WLC:
		return m.least(loads, overhead, weight)
	case lvs.SED:
		return m.least(loads, delay, weight)
	case lvs.NQ:
		if i, idle := m.heaviest(loads, func(i int) bool { return loads[i].Active == 0 }, true); idle {
			return i, true
		}
		return m.least(loads, delay, weight)
	case lvs.FO:
		return m.heaviest(loads, func(int) bool { return true }, false)
	case lvs.OVF:
		return m.heaviest(loads, func(i int) bool { return uint64(loads[i].Active) <= weight(i) }, false)
	case lvs.WRR:
		return m.weighted(loads)
	default:
		return m.next(loads)
	}
}

// PickFor is Pick for the schedulers that hash.
func (m *Model) PickFor(client netip.AddrPort, service netip.Addr, flags uint8, loads []Load) (int, bool) {
	last := make([]uint32, len(m.Dests))
	for i, d := range m.Dests {
		last[i] = uint32(d.Weight)
	}
	table := Table(m.Scheduler, m.Dests, last)
	if table == nil {
		return 0, false
	}
	key := fold(client.Addr())
	if flags&2 != 0 {
		key += uint32(client.Port())
	}
	home := func(off uint32) uint32 { return (off + golden(key)) % hashSize }
	switch m.Scheduler {
	case lvs.DH:
		key, flags = fold(service), 0
	case lvs.MH:
		home = func(off uint32) uint32 { return hash(off+key, 2654435761) % maglevSize }
	}
	if i := table[home(0)]; m.usable(i, loads) {
		return i, true
	}
	for off := range uint32(len(table)) {
		if i := table[home((off+home(0))%uint32(len(table)))]; flags&1 != 0 && m.usable(i, loads) {
			return i, true
		}
	}
	return 0, false
}

// golden is hash_32 of Linux with eight bits.
func golden(x uint32) uint32 { return x * 0x61c88647 >> 24 }

// heaviest is the usable destination with the highest weight for which fit
// holds, or the first such one.
func (m *Model) heaviest(loads []Load, fit func(int) bool, first bool) (best int, found bool) {
	for i, d := range m.Dests {
		if !m.usable(i, loads) || !fit(i) || found && (first || d.Weight <= m.Dests[best].Weight) {
			continue
		}
		best, found = i, true
	}
	return best, found
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

// least is the smallest load for its weight, compared crosswise; the first met
// wins a tie.
func (m *Model) least(loads []Load, load func(Load) uint64, weight func(int) uint64) (int, bool) {
	best, found := 0, false
	for i := range m.Dests {
		if !m.usable(i, loads) {
			continue
		}
		if !found || load(loads[best])*weight(i) > load(loads[i])*weight(best) {
			best, found = i, true
		}
	}
	return best, found
}

// delay is what sed and nq weigh: a new connection would be one more.
func delay(l Load) uint64 { return uint64(l.Active) + 1 }

// overhead is ip_vs_dest_conn_overhead: an active connection weighs as much
// as 256 inactive ones, and every connection one.
func overhead(l Load) uint64 { return uint64(l.Active)*257 + uint64(l.Inactive) }
