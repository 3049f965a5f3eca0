package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// Options are what a Runner works with.
type Options struct {
	Air Air
	// Told hears of every change of a role, in order. It must not wait: adverts
	// wait for it.
	Told func(lvs.RouterRole)
	Log  *slog.Logger
}

// A Tracked is what else counts for a router's place among its peers.
type Tracked struct {
	Delta int    // to its priority
	Fault string // why it cannot take part at all; empty: it can
}

// A Runner runs virtual routers: it owns their clocks.
type Runner struct {
	o       Options
	inbox   chan func(*mind)
	packets chan Packet
	dropped atomic.Uint64
	shown   atomic.Pointer[[]lvs.RouterRole]
}

// queue bounds what is heard and not yet looked at. Adverts are few: more is a
// flood, and what is lost of it is counted.
const queue = 1024

// NewRunner is a runner without routers.
func NewRunner(o Options) *Runner {
	r := &Runner{o: o, inbox: make(chan func(*mind), 64), packets: make(chan Packet, queue)}
	r.shown.Store(&[]lvs.RouterRole{})
	return r
}

// String is the task's name.
func (r *Runner) String() string { return "virtual routers" }

// Set is what routers there are, all of them each time. One whose words have
// not changed goes on as it is.
func (r *Runner) Set(routers []lvs.Router) {
	routers = slices.Clone(routers)
	r.inbox <- func(m *mind) { m.set(routers) }
}

// Links is what interfaces there are, all of them each time.
func (r *Runner) Links(links map[string]Link) {
	r.inbox <- func(m *mind) { m.links = links; m.refit() }
}

// Track says what else counts for a router.
func (r *Runner) Track(name string, t Tracked) { r.inbox <- func(m *mind) { m.track(name, t) } }

// Receive takes a packet from the air. It never waits.
func (r *Runner) Receive(p Packet) {
	select {
	case r.packets <- p:
	default:
		r.dropped.Add(1)
	}
}

// Yield makes a router that is active, and its group, give up its addresses to
// a peer, and leave them there until nobody holds them. Without a peer it has
// them again within three intervals.
func (r *Runner) Yield(ctx context.Context, name string) error {
	done := make(chan error, 1)
	select {
	case r.inbox <- func(m *mind) { done <- m.yield(name) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Roles are all routers as they are, in the order of the configuration. The
// list is not to be changed.
func (r *Runner) Roles() []lvs.RouterRole { return *r.shown.Load() }

// Run runs the routers until ctx ends. Those that are active give up then: a
// peer takes over at once.
func (r *Runner) Run(ctx context.Context) error {
	m := &mind{r: r, log: r.o.Log, stations: map[string]*station{}, tracked: map[string]Tracked{}}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			m.end()
			return nil
		case f := <-r.inbox:
			f(m)
		case p := <-r.packets:
			m.hear(p)
		case <-timer.C:
			// A director that was stopped for a while first hears what has
			// happened meanwhile.
			for range len(r.packets) {
				m.hear(<-r.packets)
			}
		}
		m.expire(time.Now())
		m.show()
		timer.Reset(max(time.Until(m.due()), 0))
	}
}

// A mind is everything the runner knows. Only the goroutine in Run touches it.
type mind struct {
	r        *Runner
	log      *slog.Logger
	order    []string
	stations map[string]*station
	links    map[string]Link // nil: not known yet
	tracked  map[string]Tracked
	buf      []byte
}

func (m *mind) set(routers []lvs.Router) {
	m.order = m.order[:0]
	left := m.stations
	m.stations = map[string]*station{}
	for _, c := range routers {
		m.order = append(m.order, c.Name)
		s := left[c.Name]
		delete(left, c.Name)
		if s == nil || !s.goesOn(c) {
			if s != nil {
				m.step(s, Shutdown{})
			}
			s = newStation(c)
		}
		news := !s.cfg.Equal(c)
		s.become(c)
		m.stations[c.Name] = s
		if news {
			m.tell(s) // other addresses may follow it now
		}
	}
	for _, s := range left {
		m.step(s, Shutdown{})
		s.role.State, s.role.Why = lvs.RouterInit, "no longer configured"
		m.r.o.Told(s.role)
	}
	m.refit()
}

// refit starts the routers that can take part and stops those that cannot.
func (m *mind) refit() {
	if m.links == nil {
		return
	}
	faults := map[string]string{}   // of routers
	groups := map[string]*station{} // one that is at fault
	for _, name := range m.order {
		s := m.stations[name]
		self, why := source(s.cfg, m.links)
		if t := m.tracked[name]; why == "" {
			why = t.Fault
		}
		if s.r.State != Initialize && self.IsValid() && self != s.r.Self {
			m.step(s, Shutdown{}) // its adverts come from elsewhere now
		}
		s.r.Self = self
		if faults[name] = why; why != "" && s.cfg.Group != "" && groups[s.cfg.Group] == nil {
			groups[s.cfg.Group] = s
		}
	}
	for _, name := range m.order {
		s, why := m.stations[name], faults[name]
		if g := groups[s.cfg.Group]; why == "" && g != nil {
			why = "router " + g.cfg.Name + " of its group: " + faults[g.cfg.Name]
		}
		m.weigh(s)
		m.fit(s, why)
	}
}

// fit brings one router in step with why it cannot take part, if it cannot.
func (m *mind) fit(s *station, why string) {
	switch was := s.fault; {
	case why != "":
		s.fault = why
		if s.r.State != Initialize {
			m.step(s, Shutdown{})
		} else if was != why {
			m.tell(s)
		}
	case s.r.State == Initialize:
		s.fault = ""
		m.step(s, Startup{})
	}
}

func (m *mind) track(name string, t Tracked) {
	m.tracked[name] = t
	m.refit()
}

// weigh works out the priority that counts now. An owner's does not move.
func (m *mind) weigh(s *station) {
	p := s.cfg.Priority
	if p != Owner {
		p = uint8(min(max(int(p)+m.tracked[s.cfg.Name].Delta, 1), Owner-1))
	}
	if p == s.r.Priority {
		return
	}
	was := s.r.Priority
	m.step(s, Weigh{p})
	if was != 0 {
		m.log.Info("priority changed", "router", s.cfg.Name, "from", was, "to", p)
		m.tell(s)
	}
}

func (m *mind) yield(name string) error {
	s := m.stations[name]
	if s == nil {
		return fmt.Errorf("there is no virtual router %q", name)
	}
	if s.r.State != Active {
		return fmt.Errorf("virtual router %s is %s here, not active", name, s.role.State)
	}
	for _, other := range m.group(s) {
		other.why = "asked to hand over"
		m.step(other, Yield{})
	}
	return nil
}

// group are s and those that move with it.
func (m *mind) group(s *station) []*station {
	if s.cfg.Group == "" {
		return []*station{s}
	}
	var all []*station
	for _, name := range m.order {
		if o := m.stations[name]; o != nil && o.cfg.Group == s.cfg.Group {
			all = append(all, o)
		}
	}
	return all
}

// expire lets pass what was waited for.
func (m *mind) expire(now time.Time) {
	for _, name := range m.order {
		s := m.stations[name]
		if !s.delay.IsZero() && !now.Before(s.delay) {
			s.delay = time.Time{}
			m.step(s, DelayOver{})
		}
		if !s.timer.IsZero() && !now.Before(s.timer) {
			s.timer = time.Time{}
			s.why = "no advert of a director with a higher priority"
			m.step(s, Expired{})
		}
	}
}

// due is when expire has something to do next.
func (m *mind) due() time.Time {
	next := time.Now().Add(time.Hour)
	for _, s := range m.stations {
		for _, t := range []time.Time{s.timer, s.delay} {
			if !t.IsZero() && t.Before(next) {
				next = t
			}
		}
	}
	return next
}

// end lets all routers give up.
func (m *mind) end() {
	for _, name := range m.order {
		m.stations[name].why = "weir ends"
		m.step(m.stations[name], Shutdown{})
	}
	m.show()
}

// show lets others see how the routers are.
func (m *mind) show() {
	roles := make([]lvs.RouterRole, 0, len(m.order))
	for _, name := range m.order {
		roles = append(roles, m.stations[name].role)
	}
	m.r.shown.Store(&roles)
}
