package memory

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/sched"
)

// A Model is a Plane that also says what IPVS makes of a packet: which real
// server gets it, in which state its connection is then, and how many each
// has. It is written for reading, not for speed: connections are a list.
//
// It knows TCP, UDP and SCTP, every method, every scheduler but those that
// draw lots or remember (twos, lblc, lblcr), weights, thresholds, persistence
// marks, and the settings that say what opens a connection and what ends one. It
// does not know the other settings, ICMP, fragments, FTP, SIP and what becomes
// of a packet's bytes. The time is told to it.
type Model struct {
	*Plane
	known     map[lvs.ServiceKey]*sched.Model
	overload  map[place]bool
	conns     []*conn
	templates []*template
}

// A place is one destination of one service.
type place struct {
	service lvs.ServiceKey
	addr    netip.AddrPort
}

// A conn is a connection; one of a removed destination stays, and its place is
// no longer in the table.
type conn struct {
	protocol lvs.Protocol
	client   netip.AddrPort
	virtual  netip.AddrPort
	real     netip.AddrPort
	place    place
	forward  lvs.Forwarding
	state    lvs.ConnState
	silent   bool // no answer was seen
	ends     time.Duration
	parent   *template
}

// A template leads a client to where it went before.
type template struct {
	protocol lvs.Protocol // 0: of a mark
	client   netip.Addr   // masked
	virtual  netip.AddrPort
	mark     uint32
	place    place
	timeout  time.Duration
	ends     time.Duration
	held     int
}

// NewModel is a model of an empty table.
func NewModel() *Model {
	m := &Model{Plane: New(), known: make(map[lvs.ServiceKey]*sched.Model), overload: make(map[place]bool)}
	t := lvs.DefaultTuning()
	_ = m.Tune(context.Background(), t) // a context that does not end
	return m
}

// Put keeps the promise of dataplane.Dataplane, and notes where a round stands
// after the change and who is no longer overloaded.
func (m *Model) Put(ctx context.Context, s lvs.Service) error {
	if err := m.Plane.Put(ctx, s); err != nil {
		return err
	}
	k := m.known[s.Key]
	if k == nil {
		k = &sched.Model{}
		m.known[s.Key] = k
	}
	if k.Scheduler != s.Scheduler {
		k.Scheduler, k.Round = s.Scheduler, sched.Start(s.Scheduler, k.Dests)
	}
	k.Round = sched.After(s.Scheduler, k.Round, k.Dests, s.Destinations)
	k.Dests = slices.Clone(s.Destinations)
	for _, d := range s.Destinations {
		m.reconsider(place{s.Key, d.Addr}, d)
	}
	return nil
}

// reconsider says of a destination that came or changed whether it is
// overloaded; between its thresholds it stays what it was, also if it had gone.
func (m *Model) reconsider(at place, d lvs.Destination) {
	l := m.load(at)
	switch total := l.Active + l.Inactive; {
	case d.Upper != 0 && total >= d.Upper:
		m.overload[at] = true
	case d.Upper == 0 || total < lowerOf(d):
		delete(m.overload, at)
	}
}

// lowerOf is below how many connections a destination has room again.
func lowerOf(d lvs.Destination) uint32 {
	if d.Lower == 0 {
		return d.Upper - d.Upper/4
	}
	return d.Lower
}

// Drop keeps the promise of dataplane.Dataplane.
func (m *Model) Drop(ctx context.Context, k lvs.ServiceKey) error {
	delete(m.known, k)
	return m.Plane.Drop(ctx, k)
}

// destination is the place's, if it is still in the table.
func (m *Model) destination(at place) (lvs.Destination, bool) {
	k := m.known[at.service]
	if k == nil {
		return lvs.Destination{}, false
	}
	i := slices.IndexFunc(k.Dests, func(d lvs.Destination) bool { return d.Addr == at.addr })
	if i < 0 {
		return lvs.Destination{}, false
	}
	return k.Dests[i], true
}

// load is what the place's connections amount to.
func (m *Model) load(at place) (l sched.Load) {
	for _, c := range m.conns {
		switch {
		case c.place != at:
		case c.protocol == lvs.TCP && c.state.Active(), c.protocol == lvs.SCTP && c.state == sctpEstablished:
			l.Active++
		default:
			l.Inactive++
		}
	}
	l.Overloaded = m.overload[at]
	return l
}

// forget takes away what is over at a time.
func (m *Model) forget(now time.Duration) {
	m.conns = slices.DeleteFunc(m.conns, func(c *conn) bool {
		_, there := m.destination(c.place)
		if c.ends > now && (there || m.set(lvs.ExpireNodestConn) == 0) {
			return false
		}
		m.release(c)
		return true
	})
	m.templates = slices.DeleteFunc(m.templates, func(t *template) bool {
		for t.ends <= now && t.held > 0 {
			t.timeout = time.Minute
			t.ends += time.Minute
		}
		return t.ends <= now
	})
	for _, c := range m.conns {
		m.relieve(c.place)
	}
	for at := range m.overload {
		m.relieve(at)
	}
}

func (m *Model) release(c *conn) {
	if c.parent != nil {
		c.parent.held--
	}
}

// relieve ends a destination's overload below its lower threshold.
func (m *Model) relieve(at place) {
	d, there := m.destination(at)
	if !there || !m.overload[at] {
		return
	}
	if l := m.load(at); l.Active+l.Inactive < lowerOf(d) {
		delete(m.overload, at)
	}
}

func (m *Model) remove(c *conn) {
	m.conns = slices.DeleteFunc(m.conns, func(o *conn) bool { return o == c })
	m.release(c)
	m.relieve(c.place)
}

// Loads are a service's destinations in list order with what they carry.
func (m *Model) Loads(now time.Duration, k lvs.ServiceKey) (dests []lvs.Destination, loads []sched.Load) {
	m.forget(now)
	if s := m.known[k]; s != nil {
		for _, d := range s.Dests {
			dests, loads = append(dests, d), append(loads, m.load(place{k, d.Addr}))
		}
	}
	return dests, loads
}

// Living are the connections, without templates.
func (m *Model) Living(now time.Duration) (all []lvs.Connection) {
	m.forget(now)
	for _, c := range m.conns {
		all = append(all, lvs.Connection{Protocol: c.protocol, Client: c.client, Virtual: c.virtual, Destination: c.real, State: c.state})
	}
	return all
}
