package vrrp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A station is one virtual router with its clock.
type station struct {
	cfg   lvs.Router
	r     Router
	timer time.Time // when Expired is due; zero: never
	delay time.Time // when DelayOver is
	fault string    // why it cannot take part
	why   string    // what the next change of state comes from
	role  lvs.RouterRole
	said  map[string]bool // complaints about packets, each of which is told once
}

func newStation(c lvs.Router) *station {
	return &station{cfg: c, fault: "not started", said: map[string]bool{}, role: lvs.RouterRole{State: lvs.RouterInit, Since: time.Now()},
		r: Router{Version: c.Version, Priority: c.Priority}}
}

// goesOn tells whether s can take c's words without a new beginning.
func (s *station) goesOn(c lvs.Router) bool {
	was := s.cfg
	return was.Interface == c.Interface && was.ID == c.ID && was.Version == c.Version && was.Family() == c.Family() && was.Group == c.Group
}

// become takes c's words.
func (s *station) become(c lvs.Router) {
	s.cfg, s.role.Router = c, c
	s.r.Interval, s.r.Preempt, s.r.Delay, s.r.Grouped = c.Interval, c.Preempt, c.Delay, c.Group != ""
	clear(s.said)
}

// step is one step of the protocol with all that comes of it.
func (m *mind) step(s *station, e Event) {
	was := s.r.State
	var actions []Action
	s.r, actions = s.r.Step(e)
	for _, a := range actions {
		m.act(s, a)
	}
	if was == Active && s.r.State == Backup {
		m.follow(s)
	}
}

// follow takes the others of a group along when one has become backup.
func (m *mind) follow(s *station) {
	for _, o := range m.group(s) {
		if o != s && o.r.State == Active {
			o.why = "router " + s.cfg.Name + " of its group has become backup"
			m.step(o, Withdraw{})
		}
	}
}

func (m *mind) act(s *station, a Action) {
	now := time.Now()
	switch a := a.(type) {
	case Send:
		m.send(s, a.Priority)
	case Arm:
		s.timer = now.Add(a.After)
	case ArmDelay:
		s.delay = now.Add(a.After)
	case Become:
		if a.State == Initialize {
			s.timer, s.delay = time.Time{}, time.Time{}
		}
		if a.State == Active {
			s.role.Counts.Takeovers++
		}
		m.tell(s)
	case Ask:
		m.ask(s)
	}
}

// ask lets a group become active if all of it would be.
func (m *mind) ask(s *station) {
	all := m.group(s)
	for _, o := range all {
		if o.r.State != Active && !o.r.Wants {
			return
		}
	}
	for _, o := range all {
		if o.r.State == Backup {
			o.why = "no advert of a director with a higher priority in its group"
			m.step(o, Take{})
		}
	}
}

// tell says what s has become.
func (m *mind) tell(s *station) {
	state := map[State]lvs.RouterState{Initialize: lvs.RouterInit, Backup: lvs.RouterBackup, Active: lvs.RouterActive}[s.r.State]
	if s.r.State == Initialize && s.fault != "" {
		state, s.why = lvs.RouterFault, s.fault
	}
	if state == lvs.RouterActive {
		s.role.Active = s.r.Self
	} else if s.role.Active == s.r.Self {
		s.role.Active = netip.Addr{}
	}
	if state != s.role.State {
		m.log.Info("virtual router is "+string(state), "router", s.cfg.Name, "from", s.role.State, "why", s.why)
		s.role.Since = time.Now()
	}
	s.role.State, s.role.Why, s.role.Priority = state, s.why, s.r.Priority
	m.r.o.Told(s.role)
}

// send sends an advert everywhere it has to go.
func (m *mind) send(s *station, priority uint8) {
	a := Advert{Version: s.cfg.Version, ID: s.cfg.ID, Priority: priority, Interval: s.cfg.Interval, Password: s.cfg.Password}
	for _, h := range s.cfg.Addresses {
		a.Addresses = append(a.Addresses, h.Prefix.Addr())
	}
	for _, to := range targets(s.cfg) {
		m.buf = a.Append(m.buf[:0], s.r.Self, to)
		err := m.r.o.Air.Send(Packet{Link: s.cfg.Interface, From: s.r.Self, To: to, TTL: TTL, Payload: m.buf})
		if err != nil {
			m.once(s, "advert not sent", "error", err.Error(), "to", to.String())
			continue
		}
		s.role.Counts.Sent++
	}
}

// hear gives a packet to the routers it is for.
func (m *mind) hear(p Packet) {
	a, err := ParseAdvert(p.Payload, p.From, p.To)
	for _, name := range m.order {
		s := m.stations[name]
		if s.cfg.Interface != p.Link || (s.cfg.Family() == lvs.IPv6) != p.From.Is6() || p.From == s.r.Self {
			continue
		}
		if err != nil && len(p.Payload) > 1 && p.Payload[1] == s.cfg.ID {
			m.refuse(s, p, err.Error())
		}
		if err == nil && a.ID == s.cfg.ID {
			m.heard(s, p, a)
		}
	}
}

func (m *mind) heard(s *station, p Packet, a Advert) {
	if why := unfit(s.cfg, p, a); why != "" {
		m.refuse(s, p, why)
		return
	}
	s.role.Counts.Heard++
	if why := strange(s.cfg, a); why != "" {
		m.once(s, "advert is strange", "from", p.From.String(), "why", why)
	}
	if a.Priority == Owner && s.r.Priority == Owner {
		m.once(s, "two directors call themselves owner of the addresses", "from", p.From.String())
	}
	was := s.role.Active
	if s.r.State != Initialize && a.Priority > 0 {
		s.role.Active = p.From
	}
	s.why = whyHeard(p, a)
	m.step(s, Hear{From: p.From, Priority: a.Priority, Interval: a.Interval})
	if s.r.State == Active {
		s.role.Active = s.r.Self
	} else if s.role.Active != was {
		m.tell(s) // who holds the addresses is news
	}
}

// whyHeard is what an advert would make a router become another for.
func whyHeard(p Packet, a Advert) string {
	if a.Priority == 0 {
		return p.From.String() + " gives up"
	}
	return fmt.Sprintf("%s has priority %d", p.From, a.Priority)
}

func (m *mind) refuse(s *station, p Packet, why string) {
	s.role.Counts.Refused++
	m.once(s, "advert refused", "from", p.From.String(), "why", why)
}

// mostSaid bounds what a flood of strange packets makes us remember.
const mostSaid = 64

// once warns of something about a router, but not again while its
// configuration is the same.
func (m *mind) once(s *station, what string, args ...any) {
	key := what
	for _, a := range args {
		key += " " + a.(string)
	}
	if s.said[key] || len(s.said) >= mostSaid {
		return
	}
	s.said[key] = true
	m.log.Warn(what, append([]any{"router", s.cfg.Name}, args...)...)
}
