package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Monitor keeps asking about a set of targets and tells its changes of mind.
// All its state belongs to the goroutine in Run.
type Monitor struct {
	log     *slog.Logger
	judge   func(lvs.Verdict)
	checker func(lvs.Target) (Checker, error)

	mu       sync.Mutex
	wish     *[]lvs.Target    // not taken up yet
	returned map[subject]bool // were gone from a wish that was never taken up
	wake     chan struct{}

	good, bad atomic.Uint64

	opinions map[subject]*opinion
	audience map[question][]*opinion // who hears the answers
	watches  map[question]*watch
	running  sync.WaitGroup
	flight   chan struct{}
	answers  chan answer
}

// An opinion is what is thought of one target.
type opinion struct {
	target   lvs.Target
	question question
	streak   Streak
	judged   bool // a verdict was given
}

func (o *opinion) subject() subject { return subject{o.target.Service, o.target.Destination} }

// NewMonitor makes a monitor that hands its verdicts to judge, one at a time.
//
// The first answer about a target always yields a verdict, also when it
// confirms what was believed: whoever waits for the first look at a server
// learns that it happened. From then on there is one for each change of mind.
func NewMonitor(log *slog.Logger, judge func(lvs.Verdict)) *Monitor {
	return &Monitor{
		log: log, judge: judge, checker: New,
		returned: map[subject]bool{},
		wake:     make(chan struct{}, 1),
		opinions: map[subject]*opinion{},
		watches:  map[question]*watch{},
		flight:   make(chan struct{}, mostInFlight),
		answers:  make(chan answer),
	}
}

// Set says which targets are to be checked: all of them, each time. A target
// that stays the same notices nothing; one whose check changed is asked the
// new question and keeps what was thought of it; one that is gone is asked no
// more, and no verdict about it begins after Set has returned. One that was
// gone, for however short a time, is new when it comes back. Targets that
// ask nothing (on, off) are left out. Set never waits, so judge may call it.
func (m *Monitor) Set(targets []lvs.Target) {
	wish := slices.Clone(targets)
	m.mu.Lock()
	if m.wish != nil {
		m.markReturned(*m.wish, wish)
	}
	m.wish = &wish
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// markReturned remembers who is in wish and was not in the one before, which
// nobody will see any more.
func (m *Monitor) markReturned(before, wish []lvs.Target) {
	there := make(map[subject]bool, len(before))
	for _, t := range before {
		there[subject{t.Service, t.Destination}] = true
	}
	for _, t := range wish {
		if s := (subject{t.Service, t.Destination}); !there[s] {
			m.returned[s] = true
		}
	}
}

// Answers counts the questions that were answered well and those that were
// not, since the beginning.
func (m *Monitor) Answers() (good, bad uint64) { return m.good.Load(), m.bad.Load() }

// String is the task's name.
func (m *Monitor) String() string { return "health monitor" }

// Run checks until ctx ends, and returns when the last check has.
func (m *Monitor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer m.running.Wait()
	defer cancel()
	for {
		m.takeUp(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case a := <-m.answers:
			m.hear(ctx, a)
		}
	}
}

// takeUp makes the newest wish true, if there is one that was not.
func (m *Monitor) takeUp(ctx context.Context) {
	m.mu.Lock()
	wish, returned := m.wish, m.returned
	m.wish, m.returned = nil, map[subject]bool{}
	m.mu.Unlock()
	if wish == nil {
		return
	}
	for s := range returned {
		delete(m.opinions, s)
	}
	m.replace(*wish)
	for q, w := range m.watches {
		if m.audience[q] == nil {
			w.stop()
			delete(m.watches, q)
		}
	}
	m.begin(ctx)
	m.introduce(ctx)
}

// replace makes the opinions those of the wished targets.
func (m *Monitor) replace(targets []lvs.Target) {
	opinions := map[subject]*opinion{}
	audience := map[question][]*opinion{}
	for _, t := range targets {
		q, s := questionOf(t), subject{t.Service, t.Destination}
		if !t.Check.Asks() || opinions[s] != nil {
			continue
		}
		o := m.opinions[s]
		switch {
		case o == nil:
			o = &opinion{streak: Streak{Up: t.Up}}
		case o.question != q:
			// Answers to the old question do not count towards the new.
			o.streak.Runs = 0
		}
		o.target, o.question = t, q
		opinions[s] = o
		audience[q] = append(audience[q], o)
	}
	m.opinions, m.audience = opinions, audience
}

// begin starts to ask the questions nobody asks yet.
func (m *Monitor) begin(ctx context.Context) {
	var fresh []lvs.Target
	for q, heard := range m.audience {
		if m.watches[q] == nil {
			fresh = append(fresh, heard[0].target)
		}
	}
	// In a fixed order, so that a run can be repeated.
	slices.SortFunc(fresh, func(a, b lvs.Target) int {
		return cmp.Or(a.Destination.Compare(b.Destination), a.Service.Compare(b.Service))
	})
	for i, t := range fresh {
		w := m.newWatch(t)
		mine, stop := context.WithCancel(ctx)
		w.stop = stop
		m.watches[w.question] = w
		m.running.Go(func() {
			defer stop()
			w.run(mine, spread(i, len(fresh), t.Check.Interval), m.flight, m.answers)
		})
	}
}

func (m *Monitor) newWatch(t lvs.Target) *watch {
	w := &watch{question: questionOf(t)}
	var err error
	if w.checker, err = m.checker(t); err != nil {
		m.log.Error("check cannot be asked", "service", t.Service, "destination", t.Destination, "error", err)
		w.checker = refuse(err)
	}
	if t.Check.Every > 0 {
		t.Check.Kind, t.Check.Timeout = lvs.CheckConnect, t.Check.ConnectTimeout
		if w.cheap, err = m.checker(t); err != nil {
			m.log.Error("connect check cannot be asked", "service", t.Service, "destination", t.Destination, "error", err)
		}
	}
	return w
}

// introduce gives newcomers to a question that has been answered before the
// last answer, instead of letting them wait for the next.
func (m *Monitor) introduce(ctx context.Context) {
	for q, heard := range m.audience {
		last := m.watches[q].last
		if last == nil {
			continue
		}
		for _, o := range heard {
			if !o.judged {
				m.consider(ctx, o, *last)
			}
		}
	}
}

// hear counts an answer and lets every target that asked consider it.
func (m *Monitor) hear(ctx context.Context, a answer) {
	if a.err == nil {
		m.good.Add(1)
	} else {
		m.bad.Add(1)
	}
	a.from.last = &a
	m.log.Debug("answer", "destination", a.from.question.addr, "check", a.from.checker, "error", a.err)
	for _, o := range m.audience[a.from.question] {
		m.consider(ctx, o, a)
	}
}

// consider lets one answer count for one target, and tells if the mind
// changed or was made up for the first time.
func (m *Monitor) consider(ctx context.Context, o *opinion, a answer) {
	streak, changed := o.streak.After(a.err == nil, o.target.Check.Rise, o.target.Check.Fall)
	o.streak = streak
	if o.judged && !changed {
		return
	}
	if ctx.Err() != nil || !m.wanted(o.subject()) {
		return
	}
	o.judged = true
	m.judge(verdict(o, a))
}

func verdict(o *opinion, a answer) lvs.Verdict {
	v := lvs.Verdict{Service: o.target.Service, Destination: o.target.Destination, Up: o.streak.Up, At: a.at}
	var failure *Failure
	switch {
	case v.Up:
	case errors.As(a.err, &failure):
		v.Reason, v.Why = failure.Reason, failure.Text
	case a.err != nil:
		v.Reason, v.Why = lvs.ReasonOther, clean(a.err.Error())
	default:
		v.Why = fmt.Sprintf("good answer %d of %d", o.streak.Runs, o.target.Check.Rise)
	}
	return v
}

// wanted looks into a wish that was not taken up yet: a target that is gone
// from it must not be judged any more.
func (m *Monitor) wanted(s subject) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wish == nil || slices.ContainsFunc(*m.wish, func(t lvs.Target) bool {
		return s == subject{t.Service, t.Destination}
	})
}
