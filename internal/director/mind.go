package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// Waits between two attempts when the data plane refuses.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// A mind is everything the loop knows. Only the goroutine in Run touches it.
type mind struct {
	d  *Director
	in plan.Inputs

	from    string
	changed bool // the configuration has not been applied whole yet
	handed  bool // what it asks of other rooms has been handed out
	applied time.Time
	steps   int // done since the configuration arrived
	waiters []chan error
	answers map[lvs.ServiceKey]time.Time // until when a service waits for its first answers

	network lvs.Network
	known   bool // the network has been seen
	reached bool // the data plane has been told

	installed []lvs.Service // what the data plane holds, by our own book
	read      bool          // the book was opened with what is there
	wanted    []lvs.Service
	fallback  map[lvs.ServiceKey]bool

	problem string
	backoff time.Duration
	retry   time.Time // zero: nothing to retry
}

func newMind(d *Director) *mind {
	return &mind{d: d, answers: map[lvs.ServiceKey]time.Time{}, fallback: map[lvs.ServiceKey]bool{}}
}

func (m *mind) configure(cfg config.Config, from string, done chan error) {
	m.in.Config, m.in.Configured = cfg, true
	m.from, m.changed, m.handed = from, true, false
	m.waiters = append(m.waiters, done)
	m.steps, m.backoff, m.retry = 0, 0, time.Time{}
}

func (m *mind) reach(n lvs.Network) { m.network, m.known, m.reached = n, true, false }

// next is how long the loop may sleep if nobody tells it anything.
func (m *mind) next(now time.Time) time.Duration {
	wake := now.Add(time.Hour)
	if !m.retry.IsZero() && m.retry.Before(wake) {
		wake = m.retry
	}
	for _, at := range m.answers {
		if at.Before(wake) {
			wake = at
		}
	}
	return max(wake.Sub(now), 0)
}

// arrive brings the data plane to what should be, or as near as it lets us,
// and comes back later for the rest.
func (m *mind) arrive(ctx context.Context) {
	err := m.try(ctx)
	if ctx.Err() != nil {
		return // told to stop halfway: no problem of the data plane
	}
	m.noteProblem(err)
	if err != nil {
		m.answer(err)
		return
	}
	if m.changed && (m.known || m.d.o.Watcher == nil) {
		m.changed, m.applied = false, time.Now()
		m.d.log.Info("configuration applied", "file", m.from, "services", len(m.in.Config.Services), "changes", m.steps)
		m.event("configuration", lvs.ServiceKey{}, netip.AddrPort{}, fmt.Sprintf("applied %s, %s", m.from, changes(m.steps)))
		m.answer(nil)
	}
}

func (m *mind) try(ctx context.Context) (err error) {
	if !m.read {
		if m.installed, err = m.look(ctx); err != nil {
			return fmt.Errorf("read the data plane: %w", err)
		}
		m.read = true
	}
	if !m.handed {
		m.handOut(time.Now())
		m.handed = true
	}
	m.patience(time.Now())
	m.wanted = plan.Desired(m.in)
	m.noteFallback()
	return errors.Join(m.applyNetwork(ctx), m.applyTable(ctx))
}

func (m *mind) look(ctx context.Context) (all []lvs.Service, err error) {
	for s, err := range m.d.o.Plane.Installed(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// handOut takes a new configuration into what is believed and tells the rooms
// that ask real servers and neighbours.
func (m *mind) handOut(now time.Time) {
	first := m.in.Health == nil
	before := m.in.Health
	m.in.Health = plan.Believe(m.in.Config, before, m.installed)
	for _, c := range m.in.Config.Services {
		if _, had := before[c.Key]; had || c.Fallback == nil {
			continue
		}
		// A sorry server found standing at start stays until somebody is up.
		if on := first && m.stands(c.Key, c.Fallback.Addr); on {
			m.fallback[c.Key] = true
			continue
		}
		m.answers[c.Key] = now.Add(plan.Patience(c))
	}
	m.d.o.Monitor.Set(plan.Targets(m.in.Config, m.in.Health))
	if m.d.o.Watcher != nil {
		m.d.o.Watcher.Want(plan.Addresses(m.in.Config))
	}
}

func (m *mind) stands(k lvs.ServiceKey, at netip.AddrPort) bool {
	return slices.ContainsFunc(m.installed, func(s lvs.Service) bool {
		d, ok := s.Destination(at)
		return s.Key == k && ok && d.Weight > 0
	})
}

// patience works out which services still wait for their first answers.
func (m *mind) patience(now time.Time) {
	m.in.Waiting = make(map[lvs.ServiceKey]bool, len(m.answers))
	for k, until := range m.answers {
		if now.Before(until) {
			m.in.Waiting[k] = true
		} else {
			delete(m.answers, k)
		}
	}
}

func (m *mind) applyNetwork(ctx context.Context) error {
	if !m.known || m.reached {
		return nil
	}
	if err := m.d.o.Plane.Reach(ctx, m.network); err != nil {
		return fmt.Errorf("tell the data plane about the network: %w", err)
	}
	m.reached = true
	return nil
}

// applyTable does every step it can: one refused service must not keep the
// others from changing. After a refusal the book is opened anew, since nobody
// knows how much of the step was done.
func (m *mind) applyTable(ctx context.Context) error {
	var errs []error
	for _, s := range plan.Diff(m.installed, m.wanted) {
		if err := m.do(ctx, s); err != nil {
			errs = append(errs, err)
			m.read = false
			continue
		}
		m.steps++
		m.book(s)
		m.d.log.Debug("table changed", "service", s.Service.Key.String(), "step", s.String())
	}
	return errors.Join(errs...)
}

func (m *mind) do(ctx context.Context, s plan.Step) error {
	if s.Drop {
		if err := m.d.o.Plane.Drop(ctx, s.Service.Key); err != nil {
			return fmt.Errorf("remove %v: %w", s.Service.Key, err)
		}
		return nil
	}
	if err := m.d.o.Plane.Put(ctx, s.Service); err != nil {
		return fmt.Errorf("install %v: %w", s.Service.Key, err)
	}
	return nil
}

// book writes down what a step has done. The slice is never changed in
// place, because snapshots show it.
func (m *mind) book(s plan.Step) {
	kept := slices.Clone(m.installed)
	kept = slices.DeleteFunc(kept, func(h lvs.Service) bool { return h.Key == s.Service.Key })
	if !s.Drop {
		kept = append(kept, s.Service)
		slices.SortFunc(kept, func(a, b lvs.Service) int { return a.Key.Compare(b.Key) })
	}
	m.installed = kept
}

func (m *mind) answer(err error) {
	for _, w := range m.waiters {
		w <- err
	}
	m.waiters = nil
}
