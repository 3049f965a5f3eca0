package plan

import (
	"maps"
	"net/netip"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Memory is what one weir must know of the one before it that the table
// itself does not tell: which configuration it was made from, and what was
// done by hand.
type Memory struct {
	File     config.Config
	Wish     Wish
	Orders   Orders
	Timeouts lvs.Timeouts
}

// A Note is one thing to remember; exactly one field is set.
type Note struct {
	File     *config.Config  `json:"file,omitempty"`    // without its services
	Says     *config.Service `json:"says,omitempty"`    // one of the file's services
	Service  *config.Service `json:"service,omitempty"` // asked for like this
	Gone     *lvs.ServiceKey `json:"gone,omitempty"`    // not asked for any more
	Cleared  bool            `json:"cleared,omitempty"` // nothing is
	Order    *lvs.Order      `json:"order,omitempty"`
	Revoked  *lvs.Order      `json:"revoked,omitempty"`
	Timeouts *lvs.Timeouts   `json:"timeouts,omitempty"`
}

// Notes are the fewest notes that say all of m.
func (m Memory) Notes() []Note {
	head := m.File
	head.Services = nil
	notes := append(make([]Note, 0, len(m.File.Services)+2), Note{File: &head}, Note{Timeouts: &m.Timeouts})
	for i := range m.File.Services {
		notes = append(notes, Note{Says: &m.File.Services[i]})
	}
	file := WishOf(m.File)
	for k, hand := range m.Wish.ByHand(file) {
		if hand == lvs.HandDeleted {
			notes = append(notes, Note{Gone: &k})
			continue
		}
		s := m.Wish[k]
		notes = append(notes, Note{Service: &s})
	}
	for _, os := range m.Orders {
		for _, o := range os {
			notes = append(notes, Note{Order: &o})
		}
	}
	return notes
}

// Take adds a note to m.
func (m *Memory) Take(n Note) {
	switch {
	case n.File != nil:
		m.File, m.Wish = *n.File, WishOf(*n.File)
	case n.Says != nil:
		m.File.Services = append(m.File.Services, *n.Says)
		m.Wish[n.Says.Key] = *n.Says
	case n.Service != nil:
		m.Wish[n.Service.Key] = *n.Service
	case n.Gone != nil:
		delete(m.Wish, *n.Gone)
		delete(m.Orders, *n.Gone)
	case n.Cleared:
		clear(m.Wish)
		m.Orders = Orders{}
	case n.Order != nil:
		m.Orders.Set(*n.Order)
	case n.Revoked != nil:
		m.Orders.Revoke(n.Revoked.Service, n.Revoked.Destination)
	case n.Timeouts != nil:
		m.Timeouts = *n.Timeouts
	}
}

// NewMemory remembers nothing.
func NewMemory() Memory { return Memory{Wish: Wish{}, Orders: Orders{}} }

// Set takes one more order. The map of a service is replaced, never changed:
// others may have been shown it.
func (os Orders) Set(o lvs.Order) {
	mine := maps.Clone(os[o.Service])
	if mine == nil {
		mine = make(map[netip.AddrPort]lvs.Order)
	}
	mine[o.Destination] = o
	os[o.Service] = mine
}

// Revoke takes the order for one destination back, if there is one.
func (os Orders) Revoke(k lvs.ServiceKey, at netip.AddrPort) {
	if _, ok := os[k][at]; !ok {
		return
	}
	mine := maps.Clone(os[k])
	delete(mine, at)
	os[k] = mine
	if len(mine) == 0 {
		delete(os, k)
	}
}

// Within is os without orders for what is not asked for any more. Os is not
// changed.
func (os Orders) Within(w Wish) Orders {
	out := make(Orders, len(os))
	maps.Copy(out, os)
	for k, mine := range os {
		s, ok := w[k]
		for at := range mine {
			if !ok || find(s.Reals, at) < 0 {
				out.Revoke(k, at)
			}
		}
	}
	return out
}
