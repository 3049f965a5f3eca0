package lvs

import (
	"net/netip"
	"slices"
	"time"
)

// Health is what is known of one destination right now.
type Health struct {
	Checked bool // false: no check is configured, or no answer yet
	Up      bool
	Reason  Reason
	Why     string
	Since   time.Time // of the last change of mind
}

// A DestinationHealth is what is known of the destination at Addr.
type DestinationHealth struct {
	Addr netip.AddrPort
	Health
}

func (d DestinationHealth) compare(addr netip.AddrPort) int { return d.Addr.Compare(addr) }

// Healths are what is known of the destinations of a service, in the order of
// their addresses: a list takes half the memory of a map, and each of 10,000
// services has one. They are replaced, never changed: others may have been
// shown them.
type Healths []DestinationHealth

// HealthsOf puts a list in order.
func HealthsOf(all ...DestinationHealth) Healths {
	slices.SortFunc(all, func(a, b DestinationHealth) int { return a.compare(b.Addr) })
	return all
}

// Get is what is known of the destination at addr, if anything is.
func (hs Healths) Get(addr netip.AddrPort) (Health, bool) {
	i, known := slices.BinarySearchFunc(hs, addr, DestinationHealth.compare)
	if !known {
		return Health{}, false
	}
	return hs[i].Health, true
}

// At is what is known of the destination at addr, or nothing.
func (hs Healths) At(addr netip.AddrPort) Health {
	h, _ := hs.Get(addr)
	return h
}

// With is hs with h for the destination at addr.
func (hs Healths) With(addr netip.AddrPort, h Health) Healths {
	i, known := slices.BinarySearchFunc(hs, addr, DestinationHealth.compare)
	next := slices.Clone(hs)
	if !known {
		return slices.Insert(next, i, DestinationHealth{addr, h})
	}
	next[i].Health = h
	return next
}
