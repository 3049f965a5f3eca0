package director

import (
	"fmt"

	"github.com/weir-lb/weir/internal/lvs"
)

// match refuses a change of something that is not as the caller believes.
func (m *mind) match(c lvs.Change) error {
	switch {
	case c.Match == nil:
		return nil
	case c.WholeTable(), c.Kind == lvs.AddService:
		if !m.fits(c.Match) {
			return tableChanged()
		}
	case c.Kind == lvs.SetTimeouts:
		if !c.Match.Fits(m.timeouts.Tag(), true) {
			return fmt.Errorf("the timeouts: %w", lvs.ErrChanged)
		}
	default:
		if s, ok := m.standing(c.Service.Key); !c.Match.Fits(s.Tag(), ok) {
			return fmt.Errorf("%s: %w", c.Service.Key, lvs.ErrChanged)
		}
	}
	return nil
}

// fits tells whether the whole table has such a tag.
func (m *mind) fits(table lvs.Match) bool {
	return table == nil || table.Fits(lvs.TagOf(m.found().Services()), true)
}

// turnAway refuses the batch the queue begins with as a whole.
func (m *mind) turnAway(b *batch) {
	b.stale = true
	for i := range b.changes {
		m.answerOne(asked{b, i}, tableChanged())
	}
	m.queue = m.queue[len(b.changes):]
}

func tableChanged() error { return fmt.Errorf("the table: %w", lvs.ErrChanged) }
