package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// A table others change, too, is looked at this often; more seldom where a
// look takes so long that it would be more than a twentieth of the time.
const (
	lookEvery = 5 * time.Second
	lookShare = 20
)

// A sharing is what the mind knows of a table that is not weir's alone. There,
// installed is the book of what weir put in, and stood what was really found.
type sharing struct {
	with    dataplane.Sharer // nil: the table is weir's alone
	stood   plan.Book
	lookAt  time.Time
	suspect map[lvs.ServiceKey]bool // refused: nobody knows how much of the step was done
	kept    bool                    // the book is kept when the table is read again
	claims  []lvs.ServiceKey        // found standing and wished: to become weir's
	astray  []string                // settings that are not as they were set
	drift   []lvs.Drift
}

// open begins the book anew with what is there, as far as it is weir's. After a
// refusal only what was refused is taken from there: the rest may be drift.
func (m *mind) open(real []lvs.Service) {
	s := &m.share
	if s.with == nil {
		m.installed = plan.BookOf(real)
		return
	}
	s.stood, s.lookAt = plan.BookOf(real), time.Now().Add(lookEvery)
	from := s.with.Ours()
	if s.kept {
		from = s.suspect
	}
	book := plan.Book{}
	for _, r := range real {
		if from[r.Key] {
			book[r.Key] = r
		}
	}
	if s.kept {
		for k, b := range m.installed {
			if !from[k] {
				book[k] = b
			}
		}
	}
	m.installed, s.suspect, s.kept = book, nil, true
}

// suspect has what really stands under k read before k is changed again.
func (m *mind) suspect(k lvs.ServiceKey) {
	if m.share.suspect == nil {
		m.share.suspect = map[lvs.ServiceKey]bool{}
	}
	m.share.suspect[k] = true
}

// found is what really stands.
func (m *mind) found() plan.Book {
	if m.share.with != nil {
		return m.share.stood
	}
	return m.installed
}

// reloaded is the book as a reload would begin it: what others did to weir's
// services would be put right.
func (m *mind) reloaded(wish plan.Wish) []lvs.Service {
	if m.share.with == nil {
		return m.installed.Services()
	}
	ours := m.share.with.Ours()
	return slices.DeleteFunc(m.share.stood.Services(), func(r lvs.Service) bool {
		_, wished := wish[r.Key]
		return !wished && !ours[r.Key]
	})
}

// takeWished takes what stands and is wished, but was not put there by weir,
// into the book: it is compared with the wish instead of being made anew.
func (m *mind) takeWished() {
	for k, r := range m.share.stood {
		if _, wished := m.wish[k]; wished {
			m.takeIn(r)
		}
	}
	slices.SortFunc(m.share.claims, lvs.ServiceKey.Compare)
}

func (m *mind) takeIn(r lvs.Service) {
	if _, booked := m.installed[r.Key]; !booked {
		m.installed[r.Key] = r
		m.touch(r.Key)
		m.share.claims = append(m.share.claims, r.Key)
	}
}

// claim makes weir's what was taken in. The data plane has nothing to write
// for that unless the service was changed in between.
func (m *mind) claim(ctx context.Context) error {
	var errs []error
	m.share.claims = slices.DeleteFunc(m.share.claims, func(k lvs.ServiceKey) bool {
		s, booked := m.installed[k]
		if !booked {
			return true
		}
		if err := m.d.o.Plane.Put(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("take over %v: %w", k, err))
			return false
		}
		return true
	})
	return errors.Join(errs...)
}

// adopt lets a change by hand reach a service that somebody else made: it is
// weir's from then on. What the change itself is refused for adopts nothing.
func (m *mind) adopt(c lvs.Change) error {
	k := c.Service.Key
	if _, wished := m.wish[k]; wished || m.share.with == nil {
		return nil
	}
	found, stands := m.share.stood[k]
	if !stands {
		return nil
	}
	alone, err := m.asWish(found)
	if err != nil {
		return err
	}
	asFound := alone[k]
	if c.Kind == lvs.OrderWeight || c.Kind == lvs.RevokeOrder {
		if !plan.Has(asFound, c.Destination.Addr) {
			return fmt.Errorf("%v: %w", c.Destination.Addr, lvs.ErrNoDestination)
		}
	} else if err := alone.Apply(c, m.file); err != nil {
		return err
	}
	m.takeOver(found, asFound)
	return nil
}

// adoptAll does so before a change of the whole table: to the one who asks for
// that it is one table. What weir could not ask for by itself is left alone.
func (m *mind) adoptAll() {
	if m.share.with == nil {
		return
	}
	for _, found := range m.share.stood.Services() {
		if _, wished := m.wish[found.Key]; wished {
			continue
		}
		if alone, err := m.asWish(found); err == nil {
			m.takeOver(found, alone[found.Key])
		}
	}
}

// asWish is a service that was found, as it would have been asked for.
func (m *mind) asWish(found lvs.Service) (plan.Wish, error) {
	alone := plan.Wish{}
	err := alone.Apply(lvs.Change{Kind: lvs.ReplaceTable, Table: []lvs.Service{found}}, m.file)
	return alone, err
}

func (m *mind) takeOver(found lvs.Service, asFound config.Service) {
	m.wish[found.Key] = asFound
	m.takeIn(found)
	for _, d := range found.Destinations {
		m.putInService(found.Key, d.Addr)
	}
	m.d.log.Info("service of somebody else taken over", "service", found.Key.String())
}

// lookAround notices what others have changed.
func (m *mind) lookAround(ctx context.Context, now time.Time) {
	s := &m.share
	if s.with == nil || !m.read || now.Before(s.lookAt) {
		return
	}
	real, err := m.look(ctx)
	if err == nil {
		s.astray, err = s.with.Astray(ctx)
	}
	s.lookAt = now.Add(max(lookEvery, lookShare*time.Since(now)))
	if err != nil {
		m.read = false // what is wrong is told when it is read again
		return
	}
	s.stood, m.unseen = plan.BookOf(real), dirt{all: true}
	drift := m.drifted()
	if len(drift) == 0 || m.said.Drift != config.CorrectDrift {
		return
	}
	for _, d := range drift {
		m.tellDrift("drift-corrected", "drift corrected", d)
	}
	m.installed = plan.BookOf(real)
	m.touchAll()
	m.tuned = m.tuned && len(s.astray) == 0
}

// drifted is how what stands differs from what is wanted, what the data
// plane refused aside.
func (m *mind) drifted() (out []lvs.Drift) {
	for _, step := range plan.Diff(m.share.stood.Services(), m.wanted.Services()) {
		k := step.Service.Key
		if m.refused[k] != nil {
			continue
		}
		d := lvs.Drift{Service: k, Kind: lvs.DriftChanged, Lines: step.Lines()}
		if found, stands := m.share.stood[k]; !stands {
			d.Kind = lvs.DriftMissing
		} else if step.Drop {
			d.Kind, d.Lines = lvs.DriftForeign, found.Lines()
		}
		out = append(out, d)
	}
	for _, text := range m.share.astray {
		out = append(out, lvs.Drift{Kind: lvs.DriftSetting, Lines: []string{text}})
	}
	slices.SortStableFunc(out, func(a, b lvs.Drift) int { return a.Service.Compare(b.Service) })
	return out
}

// noteDrift tells what drift is new, and what is over.
func (m *mind) noteDrift() {
	if m.share.with == nil || !m.read {
		return
	}
	now := m.drifted()
	for _, d := range now {
		if !slices.ContainsFunc(m.share.drift, d.Equal) {
			m.tellDrift("drift", "somebody else changed the table", d)
		}
	}
	for _, d := range m.share.drift {
		if !slices.ContainsFunc(now, d.Same) {
			m.d.log.Info("drift is over", "service", d.Name())
			m.event("drift-over", d.Service, netip.AddrPort{}, "as weir wants it")
		}
	}
	m.share.drift = now
}

func (m *mind) tellDrift(kind, text string, d lvs.Drift) {
	what := fmt.Sprintf("%s: %s", d.Kind.Help(), strings.Join(d.Lines, "; "))
	m.d.log.Warn(text, "service", d.Name(), "why", what)
	m.event(kind, d.Service, netip.AddrPort{}, what)
}
