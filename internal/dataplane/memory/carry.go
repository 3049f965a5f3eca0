package memory

import (
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/sched"
)

// A Packet is what the model looks at of one.
type Packet struct {
	Protocol           lvs.Protocol
	From, To           netip.AddrPort
	SYN, FIN, RST, ACK bool
	Chunks             []uint8 // of SCTP, by their types
	Last               bool    // its hops end here: a router answers it
}

// first tells whether a packet is the first of a connection by its own word.
func (p Packet) first() bool {
	switch p.Protocol {
	case lvs.TCP:
		return p.SYN
	case lvs.SCTP:
		e, ok := sctpEvent(p)
		return ok && e == initiate
	}
	return false
}

func (m *Model) set(s lvs.Sysctl) int { return m.tuning.Sysctls[s] }

// opens tells whether a packet may open a connection.
func (m *Model) opens(p Packet) bool {
	switch p.Protocol {
	case lvs.TCP:
		return !p.RST && (p.SYN || m.set(lvs.SloppyTCP) != 0)
	case lvs.SCTP:
		return p.first()
	}
	return true
}

// over tells whether a connection gives way to a packet with which its client
// begins anew.
func (m *Model) over(c *conn, p Packet) bool {
	if !p.first() {
		return false
	}
	if d, there := m.destination(c.place); there && d.Weight == 0 && m.set(lvs.ExpireNodestConn) != 0 {
		return true
	}
	mode := m.set(lvs.ConnReuseMode)
	switch {
	case mode == 0 || c.parent != nil:
		return false
	case p.Protocol == lvs.SCTP:
		return c.state == sctpClosed
	case c.state == lvs.StateFinWait:
		return mode&2 != 0 && c.silent
	}
	return c.state == lvs.StateTimeWait || c.state == lvs.StateClose
}

// A Fate is what becomes of a packet.
type Fate uint8

// The fates.
const (
	Passed   Fate = iota // to the director's own stack
	Sent                 // to a real server
	Replied              // to the client
	Answered             // with an ICMP error to who sent it: nobody takes it, or its hops are over
	Dropped              // without a word
)

// Carry says what becomes of a packet at a time, and who gets it if it is
// sent. Times only grow.
func (m *Model) Carry(now time.Duration, p Packet) (Fate, netip.Addr) {
	m.forget(now)
	if c := m.answered(p); c != nil {
		if p.Last {
			return Answered, netip.Addr{} // by ordinary forwarding, before it is an answer
		}
		c.silent = false
		m.move(c, p, true, now)
		return Replied, netip.Addr{}
	}
	fate, to := m.request(now, p)
	if fate == Sent && p.Last {
		return Answered, netip.Addr{} // it counts all the same
	}
	return fate, to
}

func (m *Model) request(now time.Duration, p Packet) (Fate, netip.Addr) {
	c := m.find(p)
	if c != nil && m.over(c, p) {
		// While the new one is scheduled the old one still counts.
		fate, to := m.open(p, now)
		m.remove(c)
		return fate, to
	}
	if c == nil {
		return m.open(p, now)
	}
	if _, there := m.destination(c.place); !there {
		return Dropped, netip.Addr{}
	}
	m.move(c, p, false, now)
	return Sent, c.real.Addr()
}

func (m *Model) find(p Packet) *conn {
	for i := len(m.conns) - 1; i >= 0; i-- {
		if c := m.conns[i]; c.protocol == p.Protocol && c.client == p.From && c.virtual == p.To {
			return c
		}
	}
	return nil
}

// answered is the connection a real server's packet is an answer of.
func (m *Model) answered(p Packet) *conn {
	for i := len(m.conns) - 1; i >= 0; i-- {
		c := m.conns[i]
		if c.protocol == p.Protocol && c.client == p.To && c.forward == lvs.Masquerade && c.real == p.From {
			return c
		}
	}
	return nil
}

// move moves a connection on by a packet.
func (m *Model) move(c *conn, p Packet, out bool, now time.Duration) {
	c.state = next(p, out, c.silent, c.state)
	c.ends = now + m.timeout(p.Protocol, c.state)
}

// service is the one a packet is for.
func (m *Model) service(p Packet) (lvs.Service, bool) {
	family := lvs.FamilyOf(p.To.Addr())
	if mark := m.mark(p); mark != 0 {
		if s, ok := m.services[lvs.ServiceKey{Mark: mark, Family: family}]; ok {
			return s, true
		}
	}
	for _, port := range []uint16{p.To.Port(), 0} {
		if s, ok := m.services[lvs.ServiceKey{Protocol: p.Protocol, Addr: netip.AddrPortFrom(p.To.Addr(), port)}]; ok {
			return s, true
		}
	}
	return lvs.Service{}, false
}

// mark is the packet's: that of the first rule it fits.
func (m *Model) mark(p Packet) uint32 {
	for _, r := range m.tuning.Rules {
		first, last := r.Ports.Bounds()
		if (r.Protocol == 0 || r.Protocol == p.Protocol) && r.To.Contains(p.To.Addr()) && first <= p.To.Port() && p.To.Port() <= last {
			return r.Mark
		}
	}
	return 0
}

// open is the road of a packet of no connection.
func (m *Model) open(p Packet, now time.Duration) (Fate, netip.Addr) {
	s, ok := m.service(p)
	if !ok || !m.opens(p) || p.From.Port() == 20 {
		return Passed, netip.Addr{}
	}
	d, parent, ok := m.choose(s, p, now)
	if !ok {
		return Answered, netip.Addr{}
	}
	at := place{s.Key, d.Addr}
	if s.OnePacket && p.Protocol == lvs.UDP {
		return Sent, d.Addr.Addr()
	}
	port := d.Addr.Port()
	if port == 0 || parent != nil && s.Key.Addr.Port() != p.To.Port() {
		port = p.To.Port()
	}
	c := &conn{protocol: p.Protocol, client: p.From, virtual: p.To, real: netip.AddrPortFrom(d.Addr.Addr(), port),
		place: at, forward: d.Forward, silent: d.Forward != lvs.Masquerade, parent: parent}
	if parent != nil {
		parent.held++
	}
	m.conns = append(m.conns, c)
	if l := m.load(at); d.Upper > 0 && l.Active+l.Inactive >= d.Upper {
		m.overload[at] = true
	}
	m.move(c, p, false, now)
	return Sent, d.Addr.Addr()
}

// choose is who takes a new connection, with the template that says so, if the
// service is persistent.
func (m *Model) choose(s lvs.Service, p Packet, now time.Duration) (lvs.Destination, *template, bool) {
	if s.Persistence.Timeout == 0 {
		if s.Key.Mark == 0 && s.Key.Addr.Port() != p.To.Port() {
			return lvs.Destination{}, nil, false
		}
		d, ok := m.pick(s, p)
		return d, nil, ok
	}
	want := templateOf(s, p)
	for _, t := range m.templates {
		if t.protocol != want.protocol || t.client != want.client || t.virtual != want.virtual || t.mark != want.mark {
			continue
		}
		if d, there := m.destination(t.place); there && (d.Weight > 0 || m.set(lvs.ExpireQuiescentTemplate) == 0) {
			t.ends = now + t.timeout
			return d, t, true
		}
		t.client = netip.Addr{} // it leads nowhere, for good: also if the server comes back
	}
	d, ok := m.pick(s, p)
	if !ok {
		return d, nil, false
	}
	want.place, want.ends = place{s.Key, d.Addr}, now+want.timeout
	m.templates = append(m.templates, want)
	return d, want, true
}

// templateOf is the template a packet of a persistent service would have.
func templateOf(s lvs.Service, p Packet) *template {
	t := &template{protocol: p.Protocol, client: masked(p.From.Addr(), s.Persistence.Mask), virtual: p.To,
		timeout: time.Duration(s.Persistence.Timeout) * time.Second}
	switch {
	case s.Key.Mark != 0:
		t.protocol, t.virtual, t.mark = 0, netip.AddrPort{}, s.Key.Mark
	case s.Key.Addr.Port() == 0:
		t.virtual = s.Key.Addr
	}
	return t
}

func masked(a, mask netip.Addr) netip.Addr {
	b, bits := a.AsSlice(), mask.AsSlice()
	for i := range b {
		b[i] &= bits[i]
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}

// pick asks the scheduler.
func (m *Model) pick(s lvs.Service, p Packet) (lvs.Destination, bool) {
	k := m.known[s.Key]
	var loads []sched.Load
	for _, d := range k.Dests {
		loads = append(loads, m.load(place{s.Key, d.Addr}))
	}
	i, ok := 0, false
	switch s.Scheduler {
	case lvs.SH, lvs.DH, lvs.MH:
		i, ok = k.PickFor(p.From, p.To.Addr(), s.SchedFlags, loads)
	default:
		i, ok = k.Pick(loads)
	}
	if !ok {
		return lvs.Destination{}, false
	}
	return k.Dests[i], true
}
