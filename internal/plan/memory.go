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
	File     *config.Config  `json:"file,omitempty"`
	Service  *config.Service `json:"service,omitempty"` // asked for like this
	Gone     *lvs.ServiceKey `json:"gone,omitempty"`    // not asked for any more
	Cleared  bool            `json:"cleared,omitempty"` // nothing is
	Order    *lvs.Order      `json:"order,omitempty"`
	Revoked  *lvs.Order      `json:"revoked,omitempty"`
	Timeouts *lvs.Timeouts   `json:"timeouts,omitempty"`
}

// Notes are the fewest notes that say all of m.
func (m Memory) Notes() []Note {
	notes := []Note{{File: &m.File}, {Timeouts: &m.Timeouts}}
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
	case n.Service != nil:
		m.Wish[n.Service.Key] = *n.Service
	case n.Gone != nil:
		delete(m.Wish, *n.Gone)
		m.Orders = m.Orders.But(*n.Gone)
	case n.Cleared:
		clear(m.Wish)
		m.Orders = Orders{}
	case n.Order != nil:
		m.Orders = m.Orders.With(*n.Order)
	case n.Revoked != nil:
		m.Orders = m.Orders.Without(n.Revoked.Service, n.Revoked.Destination)
	case n.Timeouts != nil:
		m.Timeouts = *n.Timeouts
	}
}

// NewMemory remembers nothing.
func NewMemory() Memory { return Memory{Wish: Wish{}, Orders: Orders{}} }

// With is os with one more order. Neither changes the other.
func (os Orders) With(o lvs.Order) Orders {
	out := maps.Clone(os)
	if out == nil {
		out = Orders{}
	}
	mine := maps.Clone(out[o.Service])
	if mine == nil {
		mine = make(map[netip.AddrPort]lvs.Order)
	}
	mine[o.Destination] = o
	out[o.Service] = mine
	return out
}

// Without is os without the order for one destination.
func (os Orders) Without(k lvs.ServiceKey, at netip.AddrPort) Orders {
	if _, ok := os[k][at]; !ok {
		return os
	}
	out, mine := maps.Clone(os), maps.Clone(os[k])
	delete(mine, at)
	out[k] = mine
	if len(mine) == 0 {
		delete(out, k)
	}
	return out
}

// But is os without the orders for a service.
func (os Orders) But(k lvs.ServiceKey) Orders {
	if _, ok := os[k]; !ok {
		return os
	}
	out := maps.Clone(os)
	delete(out, k)
	return out
}

// Within is os without orders for what is not asked for any more.
func (os Orders) Within(w Wish) Orders {
	for k, mine := range os {
		s, ok := w[k]
		for at := range mine {
			if !ok || find(s.Reals, at) < 0 {
				os = os.Without(k, at)
			}
		}
	}
	return os
}
