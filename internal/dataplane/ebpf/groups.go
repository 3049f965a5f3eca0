package ebpf

import "github.com/weir-lb/weir/internal/lvs"

// In long lists the engine remembers who is the best of a group of neighbours
// (GROUP, GROUPED and FIRST_GROUP of types.h).
const (
	groupSize = 32
	grouped   = 64
)

// firstGroup is the group that a list's first slot stands in. Lists stand in
// different slots, and those that are grouped are long enough for no two of
// them to share a group.
func firstGroup(slot uint32) uint32 { return slot/16 + 1 }

// join puts the destinations of a list into its groups, before packets see the
// list. Until then those who see the one before it may take an old best for the
// best, which is no different from taking their turn a moment earlier.
func (p *Plane) join(s lvs.Service, slots span, dests []*dest) error {
	first := uint32(0)
	if len(dests) > grouped && comparesCounts(s.Scheduler) {
		first = firstGroup(slots.first)
		if err := fill(p, "groups", first, make([]engineGroup, (len(dests)+groupSize-1)/groupSize)); err != nil {
			return err
		}
	}
	for i, d := range dests {
		group := uint32(0)
		if first != 0 {
			group = first + uint32(i/groupSize)
		}
		if err := p.assign(d, group); err != nil {
			return err
		}
	}
	return nil
}

// assign puts a destination into a group; 0: into none.
func (p *Plane) assign(d *dest, group uint32) error {
	if d.group == group {
		return nil
	}
	if err := fill(p, "memberships", d.id, []engineMembership{{Group: group}}); err != nil {
		return err
	}
	d.group = group
	return nil
}

// comparesCounts tells whether a scheduler takes the one with the fewest
// connections, by some measure.
func comparesCounts(s lvs.Scheduler) bool {
	switch s {
	case lvs.LC, lvs.WLC, lvs.SED, lvs.NQ:
		return true
	}
	return false
}
