package director

import (
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// A dirt is which services something has happened to since somebody looked.
// The loop plans, compares and shows these alone, so that a change costs what
// changes and not what stands beside it.
type dirt struct {
	all  bool
	keys map[lvs.ServiceKey]bool
}

func (d *dirt) add(k lvs.ServiceKey) {
	if d.keys == nil {
		d.keys = map[lvs.ServiceKey]bool{}
	}
	d.keys[k] = true
}

// sorted are the services, unless they are all.
func (d *dirt) sorted() []lvs.ServiceKey {
	keys := make([]lvs.ServiceKey, 0, len(d.keys))
	for k := range d.keys {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, lvs.ServiceKey.Compare)
	return keys
}

// touch says that something about k is no longer as it was planned and shown.
func (m *mind) touch(k lvs.ServiceKey) {
	m.todo.add(k)
	m.unseen.add(k)
}

// touchAll says so of every service: after a reload, and when the table was
// read anew.
func (m *mind) touchAll() {
	m.todo, m.unseen = dirt{all: true}, dirt{all: true}
}

// want works out what should stand, as far as something has happened to it.
func (m *mind) want() {
	if m.todo.all {
		in := m.in
		in.Config.Services = m.wish.Services()
		m.wanted = plan.BookOf(plan.Desired(in))
		m.byHand = m.wish.ByHand(m.file)
		m.noteFallback(m.keysOf(m.fallback))
		return
	}
	keys := m.todo.sorted()
	for _, k := range keys {
		c, wished := m.wish[k]
		if wished {
			m.wanted[k] = plan.One(m.in, c)
		} else {
			delete(m.wanted, k)
		}
		if hand := m.wish.HandOf(k, m.file); hand != "" {
			m.byHand[k] = hand
		} else {
			delete(m.byHand, k)
		}
	}
	m.noteFallback(keys)
}

// keysOf are the keys of the wish and of another map, in order.
func (m *mind) keysOf(also map[lvs.ServiceKey]bool) []lvs.ServiceKey {
	var d dirt
	for k := range m.wish {
		d.add(k)
	}
	for k := range also {
		d.add(k)
	}
	return d.sorted()
}

// toDo are the steps from what stands to what should.
func (m *mind) toDo() []plan.Step {
	if m.todo.all {
		return plan.Diff(m.installed.Services(), m.wanted.Services())
	}
	keys := m.todo.sorted()
	return plan.Diff(m.installed.Of(keys), m.wanted.Of(keys))
}

// show brings the tables of a snapshot up to date. It shares with the one
// before all that nothing has happened to.
func (m *mind) show(s *lvs.Snapshot) {
	found := m.found()
	if m.unseen.all {
		s.Wanted, s.Installed = lvs.TableOf(m.wanted), lvs.TableOf(found)
		s.Health, s.Orders = lvs.TableOf(m.in.Health), lvs.TableOf(m.in.Orders)
		s.Fallback, s.ByHand = lvs.TableOf(m.fallback), lvs.TableOf(m.byHand)
	} else {
		s.Wanted, s.Installed, s.Health = m.shown.Wanted, m.shown.Installed, m.shown.Health
		s.Orders, s.Fallback, s.ByHand = m.shown.Orders, m.shown.Fallback, m.shown.ByHand
		for k := range m.unseen.keys {
			follow(&s.Wanted, m.wanted, k)
			follow(&s.Installed, found, k)
			follow(&s.Health, m.in.Health, k)
			follow(&s.Orders, m.in.Orders, k)
			follow(&s.Fallback, m.fallback, k)
			follow(&s.ByHand, m.byHand, k)
		}
	}
	m.shown, m.unseen = *s, dirt{}
}

// follow makes a table have for k what the map has.
func follow[M ~map[lvs.ServiceKey]V, V any](t *lvs.Table[V], m M, k lvs.ServiceKey) {
	if v, ok := m[k]; ok {
		*t = t.With(k, v)
	} else {
		*t = t.Without(k)
	}
}
