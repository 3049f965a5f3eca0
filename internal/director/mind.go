package director

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane"
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
	d *Director
	// in is what plans are made from. Its Config has no services: those are
	// in wish, as changed by hand. The maps are the mind's own, what is in
	// them has been shown.
	in plan.Inputs
	// What must be planned, and what must be shown, anew.
	todo, unseen dirt

	from    string
	changed bool // the configuration has not been applied whole yet
	noted   bool // the journal was begun with it
	applied time.Time
	steps   int // done since the configuration arrived
	waiters []chan error
	replies []func()                     // answers to be given once the snapshot is shown
	answers map[lvs.ServiceKey]time.Time // until when a service waits for its first answers
	soonest time.Time                    // the first of these; zero: none

	// What is asked for is kept twice: as the configuration says, and as it
	// has become by hand.
	file   plan.Wish
	said   config.Config
	wish   plan.Wish
	byHand map[lvs.ServiceKey]lvs.Hand
	told   told // what other rooms know of it

	timeouts lvs.Timeouts
	tuned    bool // the data plane has been told its tuning

	queue []asked // changes by hand that wait
	trial trial

	network lvs.Network
	known   bool // the network has been seen
	reached bool // the data plane has been told

	installed plan.Book // what the data plane holds, by our own book
	share     sharing
	roles     map[string]lvs.RouterState // what this director is for each virtual router
	read      bool                       // the book was opened with what is there
	wanted    plan.Book
	fallback  map[lvs.ServiceKey]bool
	shown     lvs.Snapshot // the latest, whose tables the next one shares

	// What went wrong in the latest attempt.
	refused map[lvs.ServiceKey]error // by the data plane
	blind   error                    // the table could not be read
	untuned error                    // the timeouts could not be set

	problem string
	backoff time.Duration
	retry   time.Time // zero: nothing to retry
}

func newMind(d *Director) *mind {
	m := &mind{d: d, answers: map[lvs.ServiceKey]time.Time{}, fallback: map[lvs.ServiceKey]bool{}, wish: plan.Wish{},
		byHand: map[lvs.ServiceKey]lvs.Hand{}, installed: plan.Book{}, wanted: plan.Book{}}
	m.in.Orders, m.in.Waiting = plan.Orders{}, map[lvs.ServiceKey]bool{}
	m.share.with, _ = d.o.Plane.(dataplane.Sharer)
	if r := d.o.Remembered; r != nil {
		m.said, m.wish, m.in.Orders, m.timeouts = r.File, r.Wish, r.Orders, r.Timeouts
		d.o.Remembered = nil // as large as the table, and soon the past
	}
	return m
}

func (m *mind) configure(cfg config.Config, from string, done chan error) {
	m.wish.Reload(m.said, cfg)
	m.in.Orders = m.in.Orders.Within(m.wish)
	m.reloadTimeouts(m.said.Engine.Timeouts, cfg.Engine.Timeouts)
	m.said, m.file = cfg, plan.WishOf(cfg)
	m.in.Config, m.in.Configured = cfg, true
	m.in.Config.Services = nil
	m.touchAll()
	m.from, m.changed, m.noted = from, true, false
	m.waiters = append(m.waiters, done)
	m.steps, m.backoff, m.retry = 0, 0, time.Time{}
	if m.share.with != nil {
		m.read, m.share.kept = false, false // what is weir's is put right
	}
}

// reloadTimeouts takes what the configuration says now and did not say before.
func (m *mind) reloadTimeouts(was, now lvs.Timeouts) {
	for _, f := range []struct {
		have     *time.Duration
		was, now time.Duration
	}{{&m.timeouts.TCP, was.TCP, now.TCP}, {&m.timeouts.TCPFin, was.TCPFin, now.TCPFin}, {&m.timeouts.UDP, was.UDP, now.UDP}} {
		if f.was != f.now {
			*f.have = f.now
		}
	}
	m.tuned = false
}

// preview thinks through what configure would do, without doing it.
func (m *mind) preview(cfg config.Config) []string {
	wish := maps.Clone(m.wish)
	wish.Reload(m.said, cfg)
	in := m.in
	in.Config, in.Configured = cfg, true
	in.Config.Services = wish.Services()
	in.Orders = m.in.Orders.Within(wish)
	have := m.reloaded(wish)
	in.Health = plan.Believe(in.Config, m.in.Health, have)
	in.Waiting = maps.Clone(m.in.Waiting)
	for _, s := range in.Config.Services {
		if _, known := m.in.Health[s.Key]; !known {
			in.Waiting[s.Key] = true // its first answers would be out
		}
	}
	lines := []string{}
	for _, s := range plan.Diff(have, plan.Desired(in)) {
		lines = append(lines, s.Lines()...)
	}
	return lines
}

func (m *mind) reach(n lvs.Network) {
	m.noteTroubles(m.network.Paths, n.Paths)
	m.network, m.known, m.reached = n, true, false
}

// next is how long the loop may sleep if nobody tells it anything.
func (m *mind) next(now time.Time) time.Duration {
	wake := now.Add(time.Hour)
	if !m.retry.IsZero() && m.retry.Before(wake) {
		wake = m.retry
	}
	if m.share.with != nil && m.in.Configured && m.share.lookAt.Before(wake) {
		wake = m.share.lookAt
	}
	if !m.soonest.IsZero() && m.soonest.Before(wake) {
		wake = m.soonest
	}
	return max(wake.Sub(now), 0)
}

// arrive brings the data plane to what should be, or as near as it lets us,
// and comes back later for the rest.
func (m *mind) arrive(ctx context.Context) {
	m.lookAround(ctx, time.Now())
	tried, err := m.obey(ctx)
	if !tried {
		err = m.try(ctx)
	}
	if ctx.Err() != nil {
		return // told to stop halfway: no problem of the data plane
	}
	m.noteProblem(err)
	m.noteDrift()
	if err != nil {
		m.answer(err)
		return
	}
	if m.changed && (m.known || m.d.o.Watcher == nil) {
		m.changed, m.applied = false, time.Now()
		m.d.log.Info("configuration applied", "file", m.from, "services", len(m.wish), "changes", m.steps)
		m.event("configuration", lvs.ServiceKey{}, netip.AddrPort{}, fmt.Sprintf("applied %s, %s", m.from, changes(m.steps)))
		m.answer(nil)
	}
	if !m.noted {
		m.remember(nil)
	}
}

func (m *mind) try(ctx context.Context) (err error) {
	m.refused, m.blind, m.untuned = nil, nil, nil
	if !m.read {
		real, err := m.look(ctx)
		if err != nil {
			m.blind = fmt.Errorf("read the data plane: %w", err)
			return m.blind
		}
		m.open(real)
		m.read = true
		m.touchAll()
	}
	m.takeWished()
	now := time.Now()
	m.patience(now)
	m.handOut(now)
	m.want()
	return errors.Join(m.applyNetwork(ctx), m.applyTuning(ctx), m.claim(ctx), m.applyTable(ctx))
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

func (m *mind) applyTuning(ctx context.Context) error {
	if m.tuned {
		return nil
	}
	t := m.in.Config.Tuning()
	t.Timeouts = m.timeouts // a hand may have changed them
	if err := m.d.o.Plane.Tune(ctx, t); err != nil {
		m.untuned = fmt.Errorf("tune the data plane: %w", err)
		return m.untuned
	}
	m.tuned = true
	return nil
}

// applyTable does every step it can: one refused service must not keep the
// others from changing. After a refusal the book is opened anew, since nobody
// knows how much of the step was done.
func (m *mind) applyTable(ctx context.Context) error {
	steps := m.toDo()
	m.todo = dirt{}
	b, batches := m.d.o.Plane.(dataplane.Batcher)
	if !batches || len(steps) < 2 {
		return m.doAll(ctx, steps)
	}
	var done error
	if err := b.Batch(func() { done = m.doAll(ctx, steps) }); err != nil {
		m.read = false
		m.blind = fmt.Errorf("finish %s: %w", changes(len(steps)), err)
	}
	return errors.Join(done, m.blind)
}

func (m *mind) doAll(ctx context.Context, steps []plan.Step) error {
	var errs []error
	for _, s := range steps {
		if err := m.do(ctx, s); err != nil {
			errs = append(errs, err)
			if m.refused == nil {
				m.refused = map[lvs.ServiceKey]error{}
			}
			m.refused[s.Service.Key] = err
			m.suspect(s.Service.Key)
			m.read = false
			continue
		}
		m.steps++
		m.installed.Do(s)
		if m.share.with != nil {
			m.share.stood.Do(s)
		}
		m.d.log.Debug("table changed", "service", s.Service.Key, "step", s)
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

// answer settles what those who wait for the configuration are told.
func (m *mind) answer(err error) {
	for _, w := range m.waiters {
		m.replies = append(m.replies, func() { w <- err })
	}
	m.waiters = nil
}
