package ipvs

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// An edit is one command to the kernel about a service.
type edit struct {
	cmd  uint8
	dest *lvs.Destination // nil: the service itself
}

// edits lead from have to want, of which there is none if stands is false.
//
// The kernel takes one destination at a time, so the order is what keeps
// packets served: what is new comes first, then what is raised, then what is
// lowered, then the service's own values, and what is gone goes last. Nothing
// is said of a destination that stays as it is.
//
// moved tells that a destination is taken out and put back to change its place.
func edits(have lvs.Service, stands bool, want lvs.Service) (list []edit, moved bool) {
	if !stands {
		list = append(list, edit{cmd: cmdNewService})
		have = lvs.Service{}
	}
	stood := make(map[netip.AddrPort]lvs.Destination, len(have.Destinations))
	for _, d := range have.Destinations {
		stood[d.Addr] = d
	}
	stay := staying(have.Destinations, want.Destinations)
	for i := len(want.Destinations) - stay - 1; i >= 0; i-- {
		// The kernel puts a new one at the head of the list, hence from behind.
		d := want.Destinations[i]
		if _, there := stood[d.Addr]; there {
			list = append(list, edit{cmdDelDest, &d})
			moved = true
		}
		list = append(list, edit{cmdNewDest, &d})
	}
	list = append(list, changed(stood, want.Destinations[len(want.Destinations)-stay:])...)
	if stands && !sameHead(have, want) {
		list = append(list, edit{cmd: cmdSetService})
	}
	return append(list, gone(have, want)...), moved
}

// staying is how many destinations at the end of want can keep their place:
// all others are, or become, newer than they are.
func staying(have, want []lvs.Destination) (n int) {
	at := make(map[netip.AddrPort]int, len(have))
	for i, d := range have {
		at[d.Addr] = i
	}
	last := len(have)
	for n < len(want) {
		i, ok := at[want[len(want)-1-n].Addr]
		if !ok || i >= last {
			break
		}
		last = i
		n++
	}
	return n
}

// changed are the edits of destinations that keep their place: those that get
// more weight before those that lose it.
func changed(stood map[netip.AddrPort]lvs.Destination, stay []lvs.Destination) (list []edit) {
	var later []edit
	for _, d := range stay {
		switch was := stood[d.Addr]; {
		case was == d:
		case d.Weight >= was.Weight:
			list = append(list, edit{cmdSetDest, &d})
		default:
			later = append(later, edit{cmdSetDest, &d})
		}
	}
	return append(list, later...)
}

func gone(have, want lvs.Service) (list []edit) {
	wanted := make(map[netip.AddrPort]bool, len(want.Destinations))
	for _, d := range want.Destinations {
		wanted[d.Addr] = true
	}
	for _, d := range have.Destinations {
		if !wanted[d.Addr] {
			list = append(list, edit{cmdDelDest, &d})
		}
	}
	return list
}

func sameHead(a, b lvs.Service) bool {
	a.Destinations, b.Destinations = nil, nil
	return a.Equal(b)
}
