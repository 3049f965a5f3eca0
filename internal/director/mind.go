package director

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
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
	d   *Director
	in  plan.Inputs
	own bool // in.Health is in no snapshot yet

	from    string
	changed bool // the configuration has not been applied whole yet
	noted   bool // the journal was begun with it
	handed  bool // what is asked for has been handed out to other rooms
	applied time.Time
	steps   int // done since the configuration arrived
	waiters []chan error
	told    []func()                     // answers to be given once the snapshot is shown
	answers map[lvs.ServiceKey]time.Time // until when a service waits for its first answers

	// What is asked for is kept twice: as the configuration says, and as it
	// has become by hand. in.Config has the services of the latter.
	file    plan.Wish
	said    config.Config
	wish    plan.Wish
	byHand  map[lvs.ServiceKey]lvs.Hand
	targets []lvs.Target // as the monitor was told

	timeouts lvs.Timeouts
	tuned    bool // the data plane has been told its tuning

	queue []asked // changes by hand that wait
	trial trial

	network lvs.Network
	known   bool // the network has been seen
	reached bool // the data plane has been told

	installed []lvs.Service // what the data plane holds, by our own book
	share     sharing
	read      bool // the book was opened with what is there
	wanted    []lvs.Service
	fallback  map[lvs.ServiceKey]bool

	// What went wrong in the latest attempt.
	refused map[lvs.ServiceKey]error // by the data plane
	blind   error                    // the table could not be read
	untuned error                    // the timeouts could not be set

	problem string
	backoff time.Duration
	retry   time.Time // zero: nothing to retry
}

func newMind(d *Director) *mind {
	m := &mind{d: d, answers: map[lvs.ServiceKey]time.Time{}, fallback: map[lvs.ServiceKey]bool{}, wish: plan.Wish{}}
	m.share.with, _ = d.o.Plane.(dataplane.Sharer)
	if r := d.o.Remembered; r != nil {
		m.said, m.wish, m.in.Orders, m.timeouts = r.File, r.Wish, r.Orders, r.Timeouts
	}
	return m
}

func (m *mind) configure(cfg config.Config, from string, done chan error) {
	m.wish.Reload(m.said, cfg)
	m.in.Orders = m.in.Orders.Within(m.wish)
	m.reloadTimeouts(m.said.Engine.Timeouts, cfg.Engine.Timeouts)
	m.said, m.file = cfg, plan.WishOf(cfg)
	m.in.Config, m.in.Configured = cfg, true
	m.rewish()
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
	if in.Waiting == nil {
		in.Waiting = map[lvs.ServiceKey]bool{}
	}
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

// rewish makes what is planned with follow what is asked for.
func (m *mind) rewish() {
	m.in.Config.Services = m.wish.Services()
	m.byHand = m.wish.ByHand(m.file)
	m.handed = false
}

func (m *mind) reach(n lvs.Network) { m.network, m.known, m.reached = n, true, false }

// next is how long the loop may sleep if nobody tells it anything.
func (m *mind) next(now time.Time) time.Duration {
	wake := now.Add(time.Hour)
	if !m.retry.IsZero() && m.retry.Before(wake) {
		wake = m.retry
	}
	if m.share.with != nil && m.in.Configured && m.share.lookAt.Before(wake) {
		wake = m.share.lookAt
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
		m.d.log.Info("configuration applied", "file", m.from, "services", len(m.in.Config.Services), "changes", m.steps)
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
	}
	m.takeWished()
	if !m.handed {
		m.handOut(time.Now())
		m.handed = true
	}
	m.patience(time.Now())
	m.wanted = plan.Desired(m.in)
	m.noteFallback()
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

// handOut takes a new configuration into what is believed and tells the rooms
// that ask real servers and neighbours.
func (m *mind) handOut(now time.Time) {
	first := m.in.Health == nil
	before := m.in.Health
	m.in.Health, m.own = plan.Believe(m.in.Config, before, m.installed), true
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
	m.setTargets()
	if m.d.o.Watcher != nil {
		m.d.o.Watcher.Want(plan.Addresses(m.in.Config))
	}
}

// setTargets tells the monitor, if there is anything it does not know. What is
// believed is news only for targets it does not have.
func (m *mind) setTargets() {
	now := plan.Targets(m.in.Config, m.in.Health)
	same := slices.EqualFunc(m.targets, now, func(a, b lvs.Target) bool {
		a.Up = b.Up
		return a == b
	})
	if !same || m.targets == nil {
		m.d.o.Monitor.Set(now)
	}
	m.targets = append([]lvs.Target{}, now...)
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
	steps := plan.Diff(m.installed, m.wanted)
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
	var done []plan.Step
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
		done = append(done, s)
		m.d.log.Debug("table changed", "service", s.Service.Key, "step", s)
	}
	m.installed = plan.After(m.installed, done)
	if m.share.with != nil {
		m.share.stood = plan.After(m.share.stood, done)
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
		m.told = append(m.told, func() { w <- err })
	}
	m.waiters = nil
}
