package director

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// A told is what the rooms that ask real servers and neighbours know.
type told struct {
	asked     plan.Wish          // services as they were handed out
	addresses map[netip.Addr]int // in how many places each one stands
	any       bool               // the monitor has been told anything
}

// handOut takes what is asked for now into what is believed and tells the
// rooms that ask real servers and neighbours, if it is news to them.
func (m *mind) handOut(now time.Time) {
	if m.todo.all {
		m.handOutAll(now)
		return
	}
	targets, addresses := false, false
	for k := range m.todo.keys {
		t, a := m.handOutOne(k, now)
		targets, addresses = targets || t, addresses || a
	}
	if targets {
		m.d.o.Monitor.Set(plan.Targets(m.asking(), m.in.Health))
	}
	if addresses {
		m.wantAddresses()
	}
}

func (m *mind) handOutAll(now time.Time) {
	first, before, cfg := m.in.Health == nil, m.in.Health, m.asking()
	m.in.Health = plan.Believe(cfg, before, m.installed.Services())
	was := m.told
	m.told = told{maps.Clone(m.wish), make(map[netip.Addr]int), true}
	same := was.any && len(was.asked) == len(m.wish)
	for _, c := range cfg.Services {
		if _, had := before[c.Key]; !had {
			m.await(c, now, first)
		}
		same = same && m.sameTargets(was.asked[c.Key], c)
		for _, a := range plan.AddressesOf(c) {
			m.told.addresses[a]++
		}
	}
	if !same {
		m.d.o.Monitor.Set(plan.Targets(cfg, m.in.Health))
	}
	m.wantAddresses()
}

// handOutOne does so for one service, and says what is news about it.
func (m *mind) handOutOne(k lvs.ServiceKey, now time.Time) (targets, addresses bool) {
	was, c := m.told.asked[k], m.wish[k]
	if _, wished := m.wish[k]; wished {
		before, had := m.in.Health[k]
		m.in.Health[k] = plan.BelieveOne(c, before, m.installed[k])
		if !had {
			m.await(c, now, false)
		}
		m.told.asked[k] = c
	} else {
		delete(m.in.Health, k)
		delete(m.told.asked, k)
	}
	for _, a := range plan.AddressesOf(c) {
		m.told.addresses[a]++
		addresses = addresses || m.told.addresses[a] == 1
	}
	for _, a := range plan.AddressesOf(was) {
		if m.told.addresses[a]--; m.told.addresses[a] == 0 {
			delete(m.told.addresses, a)
			addresses = true
		}
	}
	return !m.sameTargets(was, c), addresses
}

// sameTargets tells whether a monitor that knows the one service knows the
// other. What is believed is news only for targets it does not have.
func (m *mind) sameTargets(was, now config.Service) bool {
	return slices.Equal(plan.TargetsOf(was, nil), plan.TargetsOf(now, nil))
}

// await gives a new service time for its first answers.
func (m *mind) await(c config.Service, now time.Time, first bool) {
	if c.Fallback == nil {
		return
	}
	// A sorry server found standing at start stays until somebody is up.
	if d, on := m.installed[c.Key].Destination(c.Fallback.Addr); first && on && d.Weight > 0 {
		m.fallback[c.Key] = true
		return
	}
	until := now.Add(plan.Patience(c))
	if !until.After(now) {
		return
	}
	m.answers[c.Key], m.in.Waiting[c.Key] = until, true
	if m.soonest.IsZero() || until.Before(m.soonest) {
		m.soonest = until
	}
}

// patience sees which services have waited long enough.
func (m *mind) patience(now time.Time) {
	if m.soonest.IsZero() || now.Before(m.soonest) {
		return
	}
	m.soonest = time.Time{}
	for k, until := range m.answers {
		switch {
		case !now.Before(until):
			delete(m.answers, k)
			delete(m.in.Waiting, k)
			m.touch(k)
		case m.soonest.IsZero() || until.Before(m.soonest):
			m.soonest = until
		}
	}
}

// asking is the configuration with what is asked for now.
func (m *mind) asking() config.Config {
	cfg := m.in.Config
	cfg.Services = m.wish.Services()
	return cfg
}

func (m *mind) wantAddresses() {
	if m.d.o.Watcher != nil {
		m.d.o.Watcher.Want(slices.SortedFunc(maps.Keys(m.told.addresses), netip.Addr.Compare))
	}
}
