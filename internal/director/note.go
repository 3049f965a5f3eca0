package director

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// judge writes a verdict into what is believed. A verdict about a server that
// has left the configuration meanwhile is void.
func (m *mind) judge(v lvs.Verdict) {
	was, ok := m.in.Health[v.Service].Get(v.Destination)
	if !ok {
		return
	}
	now := lvs.Health{Checked: true, Up: v.Up, Reason: v.Reason, Why: v.Why, Since: v.At}
	if was.Checked && was.Up == now.Up {
		now.Since = was.Since
	}
	m.setHealth(v.Service, m.in.Health[v.Service].With(v.Destination, now))
	if was.Up == now.Up && (was.Checked || was.Up) {
		return // nobody changed their mind
	}
	kind, from, to := "destination-up", "down", "up"
	if !v.Up {
		kind, from, to = "destination-down", "up", "down"
	}
	if !was.Checked && !was.Up {
		from = "unchecked"
	}
	args := []any{"service", v.Service.String(), "destination", v.Destination.String(), "from", from, "to", to}
	text := to
	if v.Why != "" {
		args, text = append(args, "why", v.Why), to+": "+v.Why
	}
	m.d.log.Info("destination changed", args...)
	m.event(kind, v.Service, v.Destination, text)
}

// noteFallback notes which sorry servers come and go with the plan just made.
func (m *mind) noteFallback(keys []lvs.ServiceKey) {
	for _, k := range keys {
		c, wished := m.wish[k]
		if !wished {
			delete(m.fallback, k)
			continue
		}
		stands := plan.FallbackOn(m.in, c)
		if stands == m.fallback[k] {
			continue
		}
		if stands {
			m.fallback[k] = true
		} else {
			delete(m.fallback, k)
		}
		kind, from, to, why := "fallback-off", "on", "off", "a real server is up"
		if c.Fallback == nil {
			why = "the configuration has none any more"
		}
		var at netip.AddrPort
		if stands {
			kind, from, to, why = "fallback-on", "off", "on", "no real server is up"
			at = c.Fallback.Addr
		}
		m.d.log.Info("fallback changed", "service", c.Key.String(), "from", from, "to", to, "why", why)
		m.event(kind, c.Key, at, why)
	}
}

// noteProblem notes whether the data plane took everything, and when to come back
// if not. The same problem is told once.
func (m *mind) noteProblem(err error) {
	if err == nil {
		if m.problem != "" {
			m.d.log.Info("problem solved", "why", m.problem)
			m.event("problem-solved", lvs.ServiceKey{}, netip.AddrPort{}, m.problem)
		}
		m.problem, m.backoff, m.retry = "", 0, time.Time{}
		return
	}
	if m.backoff == 0 {
		m.backoff = firstRetry
	} else {
		m.backoff = min(2*m.backoff, lastRetry)
	}
	m.retry = time.Now().Add(m.backoff)
	if text := err.Error(); text != m.problem {
		m.problem = text
		m.d.log.Error("change refused", "error", text, "in", m.backoff)
		m.event("problem", lvs.ServiceKey{}, netip.AddrPort{}, text)
	}
}

// noteTroubles notes which real servers' addresses can no longer be sent to, and
// which can again. An address nobody asks for any more is no news.
func (m *mind) noteTroubles(was, now map[netip.Addr]lvs.Path) {
	for _, a := range slices.SortedFunc(maps.Keys(now), netip.Addr.Compare) {
		before, after := was[a].Trouble, now[a].Trouble
		switch {
		case before == after:
		case after == "":
			m.d.log.Info("real server can be reached again", "address", a, "why", before)
			m.event("reachable", lvs.ServiceKey{}, netip.AddrPort{}, a.String()+" can be reached again")
		default:
			m.d.log.Warn("real server cannot be reached", "address", a, "why", after)
			m.event("unreachable", lvs.ServiceKey{}, netip.AddrPort{}, a.String()+": "+after)
		}
	}
}

func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}

func (m *mind) event(kind string, k lvs.ServiceKey, at netip.AddrPort, text string) {
	e := lvs.Event{At: time.Now(), Kind: kind, Text: text}
	if k != (lvs.ServiceKey{}) {
		e.Service = k.String()
	}
	if at.IsValid() {
		e.Destination = at.String()
	}
	m.d.events.add(e)
}

func (m *mind) snapshot() *lvs.Snapshot {
	s := &lvs.Snapshot{At: time.Now(), Configured: !m.applied.IsZero(), Config: m.from, Applied: m.applied,
		Problem: m.problem, Drift: m.share.drift, Network: m.network, Timeouts: m.timeouts}
	m.show(s)
	if m.d.o.Describe != nil {
		s.Plane = m.d.o.Describe()
	}
	return s
}
