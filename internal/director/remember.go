package director

import (
	"fmt"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// standing is a service as the data plane holds it.
func (m *mind) standing(k lvs.ServiceKey) (lvs.Service, bool) {
	s, ok := m.found()[k]
	return s, ok
}

// listed tells whether a service is in the table at all.
func (m *mind) listed(k lvs.ServiceKey) bool {
	_, ok := m.standing(k)
	return ok
}

// setHealth replaces what is believed of a service's servers.
func (m *mind) setHealth(k lvs.ServiceKey, hs lvs.Healths) {
	m.touch(k)
	if m.in.Health == nil {
		m.in.Health = plan.Beliefs{}
	}
	m.in.Health[k] = hs
	if hs == nil {
		delete(m.in.Health, k)
	}
}

// answerOne settles what the caller of one change is told.
func (m *mind) answerOne(a asked, err error) {
	a.b.errs[a.i] = err
	a.b.open--
	if a.b.open == 0 {
		m.replies = append(m.replies, func() { a.b.done <- a.b.errs })
	}
}

// reply gives the answers. The snapshot that goes with them is shown already.
func (m *mind) reply() {
	for _, tell := range m.replies {
		tell()
	}
	m.replies = nil
}

// finish tells the log and the journal what was done by hand.
func (m *mind) finish(taken []asked) {
	var done []lvs.Change
	for _, a := range taken {
		if a.b.errs[a.i] == nil {
			done = append(done, a.change())
		}
	}
	if len(done) == 0 {
		return
	}
	text := done[0].String()
	if len(done) > 1 {
		text = fmt.Sprintf("%s and %d more", text, len(done)-1)
	}
	m.d.log.Info("table changed by hand", "change", text)
	m.event("by-hand", done[0].Service.Key, done[0].Destination.Addr, text)
	m.remember(m.notes(done))
}

// notes say what is asked for now, where done has changed it.
func (m *mind) notes(done []lvs.Change) (notes []plan.Note) {
	told := map[lvs.ServiceKey]bool{}
	for _, c := range done {
		k, at := c.Service.Key, c.Destination.Addr
		switch c.Kind {
		case lvs.ClearTable, lvs.ReplaceTable:
			notes, told = append(notes, plan.Note{Cleared: true}), map[lvs.ServiceKey]bool{}
			for _, s := range c.Table {
				notes, told[s.Key] = append(notes, m.noteOf(s.Key)), true
			}
			continue
		case lvs.SetTimeouts:
			t := m.timeouts
			notes = append(notes, plan.Note{Timeouts: &t})
			continue
		}
		if o, ok := m.in.Orders[k][at]; ok {
			notes = append(notes, plan.Note{Order: &o})
		} else if at.IsValid() {
			notes = append(notes, plan.Note{Revoked: &lvs.Order{Service: k, Destination: at}})
		}
		if !told[k] {
			notes, told[k] = append(notes, m.noteOf(k)), true
		}
	}
	return notes
}

func (m *mind) noteOf(k lvs.ServiceKey) plan.Note {
	s, ok := m.wish[k]
	if !ok {
		return plan.Note{Gone: &k}
	}
	return plan.Note{Service: &s}
}

// remember puts notes into the journal, or begins it anew. That it cannot be
// written is told, and no reason to refuse a change.
func (m *mind) remember(notes []plan.Note) {
	if m.d.o.Journal == nil {
		m.noted = true
		return
	}
	var err error
	long := !m.noted
	if !long {
		long, err = m.d.o.Journal.Add(notes)
	}
	if long {
		m.noted = true
		err = m.d.o.Journal.Begin(plan.Memory{File: m.said, Wish: m.wish, Orders: m.in.Orders, Timeouts: m.timeouts}.Notes())
	}
	if err != nil {
		m.noted = false // once it can be written it must be written whole
		m.d.log.Error("changes by hand are not remembered", "error", err)
	}
}
