package director

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// A batch is a list of changes one caller waits for.
type batch struct {
	table   lvs.Match // the whole table must have such a tag, or nothing is done
	stale   bool      // it has not
	changes []lvs.Change
	errs    []error
	open    int // how many have no answer yet
	done    chan []error
}

// An asked is one change of a batch.
type asked struct {
	b *batch
	i int
}

func (a asked) change() lvs.Change { return a.b.changes[a.i] }

// A trial is a run of changes that go to the data plane together, and how it
// was before them.
type trial struct {
	taken    []asked
	before   map[lvs.ServiceKey]before
	timeouts lvs.Timeouts
	gone     map[lvs.ServiceKey]bool // services they take something away from
}

// A before is a service as it was before a trial.
type before struct {
	service config.Service
	stood   bool
	health  lvs.Healths
	orders  map[netip.AddrPort]lvs.Order
}

func (m *mind) asked(b *batch) {
	for i := range b.changes {
		m.queue = append(m.queue, asked{b, i})
	}
}

// obey makes the changes that were asked for by hand. As many as possible go
// to the data plane at once; if it refuses a service, the changes of that service
// are taken back and tried one by one, so that each gets its own answer.
//
// Tried tells that the last thing done was to bring the data plane to what
// should be, and err what came of it.
func (m *mind) obey(ctx context.Context) (tried bool, err error) {
	for len(m.queue) > 0 && ctx.Err() == nil {
		m.begin()
		m.take()
		taken := m.trial.taken
		if len(taken) == 0 {
			continue // all were refused
		}
		err = m.try(ctx) // what it means for each change is asked below
		again := m.settle()
		for _, a := range again {
			m.alone(ctx, a)
		}
		tried = len(again) == 0
		m.finish(taken)
	}
	return tried, err
}

func (m *mind) begin() {
	m.trial = trial{before: map[lvs.ServiceKey]before{}, gone: map[lvs.ServiceKey]bool{}, timeouts: m.timeouts}
}

// take makes changes until one would add again what another has just taken
// away: to the data plane the two together would be no change at all, but a
// new destination stands at the head of its list and a new service counts from
// zero.
func (m *mind) take() {
	for len(m.queue) > 0 {
		a := m.queue[0]
		c := a.change()
		adds := c.Kind == lvs.AddService || c.Kind == lvs.AddDestination
		// A tag is compared with what stands, so nothing may be on its way.
		asks := c.Match != nil || a.i == 0 && a.b.table != nil
		if adds && m.trial.gone[c.Service.Key] || asks && len(m.trial.taken) > 0 {
			break
		}
		if a.i == 0 && !m.fits(a.b.table) {
			m.turnAway(a.b)
			continue
		}
		m.queue = m.queue[1:]
		if err := m.make(c); err != nil {
			m.answerOne(a, err)
			continue
		}
		m.trial.taken = append(m.trial.taken, a)
	}
}

// settle answers what took effect, takes back what was refused, and returns
// the changes concerned.
func (m *mind) settle() (again []asked) {
	for _, a := range m.trial.taken {
		if m.hit(a.change()) != nil {
			again = append(again, a)
		} else {
			m.answerOne(a, nil)
		}
	}
	if len(again) == 0 {
		return nil
	}
	whole := m.blind != nil || slices.ContainsFunc(again, func(a asked) bool { return a.change().WholeTable() })
	for k := range m.trial.before {
		if whole || m.refused[k] != nil {
			m.restore(k)
		}
	}
	if m.blind != nil || m.untuned != nil {
		m.timeouts, m.tuned = m.trial.timeouts, false
	}
	return again
}

// hit is why the data plane refused what c asked.
func (m *mind) hit(c lvs.Change) error {
	switch {
	case m.blind != nil:
		return m.blind
	case c.Kind == lvs.SetTimeouts:
		return m.untuned
	case !c.WholeTable():
		return m.refused[c.Service.Key]
	}
	for _, err := range m.refused {
		return err
	}
	return nil
}

// alone tries one change by itself.
func (m *mind) alone(ctx context.Context, a asked) {
	m.begin()
	if err := m.make(a.change()); err != nil {
		m.answerOne(a, err)
		return
	}
	m.trial.taken = []asked{a}
	_ = m.try(ctx) // what it means for the change is asked here
	why := m.hit(a.change())
	if len(m.settle()) > 0 {
		m.answerOne(a, why)
	}
}

// keep remembers k as it is before it is changed.
func (m *mind) keep(k lvs.ServiceKey) {
	m.touch(k)
	if _, kept := m.trial.before[k]; kept {
		return
	}
	s, stood := m.wish[k]
	m.trial.before[k] = before{s, stood, m.in.Health[k], m.in.Orders[k]}
}

func (m *mind) restore(k lvs.ServiceKey) {
	b := m.trial.before[k]
	delete(m.wish, k)
	if b.stood {
		m.wish[k] = b.service
	}
	m.setHealth(k, b.health)
	delete(m.in.Orders, k)
	if b.orders != nil {
		m.in.Orders[k] = b.orders
	}
}

// make changes what is asked for, or refuses.
func (m *mind) make(c lvs.Change) error {
	k, at := c.Service.Key, c.Destination.Addr
	if err := m.match(c); err != nil {
		return err
	}
	if c.Kind == lvs.SetTimeouts {
		m.timeouts, m.tuned = c.Timeouts.Over(m.timeouts), false
		return nil
	}
	if c.WholeTable() {
		return m.replace(c)
	}
	if err := m.adopt(c); err != nil {
		return err
	}
	m.keep(k)
	if c.Kind == lvs.OrderWeight || c.Kind == lvs.RevokeOrder {
		return m.order(c)
	}
	if plan.LeftOut(m.in, m.wish[k], at) && m.listed(k) {
		// It is asked for but not in the table, since it is down. To the one
		// who looks at the table it is not there.
		switch c.Kind {
		case lvs.AddDestination:
			c.Kind = lvs.EditDestination
		case lvs.EditDestination, lvs.DeleteDestination:
			return fmt.Errorf("%v: %w", at, lvs.ErrNoDestination)
		}
	}
	if err := m.wish.Apply(c, m.file); err != nil {
		return err
	}
	m.follow(c)
	return nil
}

// replace changes the whole table at once.
func (m *mind) replace(c lvs.Change) error {
	m.adoptAll()
	for k := range m.wish {
		m.keep(k)
	}
	for _, s := range c.Table {
		m.keep(s.Key)
	}
	if err := m.wish.Apply(c, m.file); err != nil {
		return err
	}
	for k := range m.trial.before {
		m.trial.gone[k] = true
	}
	m.in.Orders = plan.Orders{}
	for _, s := range c.Table {
		for _, d := range s.Destinations {
			m.putInService(s.Key, d.Addr)
		}
	}
	return nil
}

// follow makes beliefs and orders follow a change that was made.
func (m *mind) follow(c lvs.Change) {
	k, at := c.Service.Key, c.Destination.Addr
	switch c.Kind {
	case lvs.DeleteService:
		m.trial.gone[k] = true
		delete(m.in.Orders, k)
	case lvs.DeleteDestination:
		m.trial.gone[k] = true
		m.in.Orders.Revoke(k, at)
	case lvs.AddDestination, lvs.EditDestination:
		m.in.Orders.Revoke(k, at)
		if c.Kind == lvs.AddDestination || c.Destination.Weight > 0 {
			m.putInService(k, at)
		}
	}
}

// putInService believes a server that is down to be up, because somebody has
// just said so; until its check says otherwise.
func (m *mind) putInService(k lvs.ServiceKey, at netip.AddrPort) {
	h := m.in.Health[k].At(at)
	if h.Up {
		return
	}
	now := lvs.Health{Checked: h.Checked, Up: true, Why: plan.WhyByHand, Since: time.Now()}
	m.setHealth(k, m.in.Health[k].With(at, now))
}

// order gives a destination a weight that beats everything else, or takes the
// order back.
func (m *mind) order(c lvs.Change) error {
	k, at := c.Service.Key, c.Destination.Addr
	s, ok := m.wish[k]
	if !ok {
		return fmt.Errorf("%v: %w", k, lvs.ErrNoService)
	}
	if !plan.Has(s, at) {
		return fmt.Errorf("%v: %w", at, lvs.ErrNoDestination)
	}
	if c.Kind == lvs.RevokeOrder {
		m.in.Orders.Revoke(k, at)
		return nil
	}
	if c.Destination.Weight < 0 {
		return fmt.Errorf("weight %d: %w", c.Destination.Weight, lvs.ErrRange)
	}
	m.in.Orders.Set(lvs.Order{Service: k, Destination: at, Weight: c.Destination.Weight,
		Since: time.Now(), Until: c.Until})
	return nil
}
