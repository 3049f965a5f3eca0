package ipvsadm

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A parser reads a command line from left to right. What an option means may
// depend on those before it, as in the original.
type parser struct {
	names Names
	c     Command
	given [optCount]bool
	words words

	protocol lvs.Protocol // of the service, or none yet
	family   lvs.Family
	addr     netip.Addr
	port     uint16
	fwmark   uint32
	v4mask   netip.Addr
	v6bits   int

	flags string
	real  place
	encap lvs.Encap
}

// Parse reads the words after the program's name.
func Parse(args []string, names Names) (Command, *Failure) {
	p := &parser{names: names, words: words{args: args}, family: lvs.IPv4, v4mask: lvs.MaskOf(lvs.IPv4, 32), v6bits: 128}
	p.c.Destination.Forward, p.c.Destination.Weight = lvs.DirectRoute, 1
	if len(args) == 0 {
		p.c.Verb = List
		return p.c, nil
	}
	if f := p.command(); f != nil {
		return p.c, f
	}
	if p.c.Verb == Help || p.c.Verb == Version {
		return p.c, nil
	}
	for _, step := range []func(*parser) *Failure{(*parser).readOptions, (*parser).set, (*parser).extra,
		(*parser).checkFlags, (*parser).legal, (*parser).checkService, (*parser).checkServer} {
		if f := step(p); f != nil {
			return p.c, f
		}
	}
	p.finish()
	return p.c, nil
}

func usage(format string, args ...any) *Failure {
	return &Failure{fmt.Sprintf(format, args...), Usage}
}

// command reads the first option, which must be a command.
func (p *parser) command() *Failure {
	o, value, _, fault := p.words.next()
	if fault != nil || o == nil || o.verb == "" {
		return TryHelp
	}
	p.c.Verb = o.verb
	if o.set != nil {
		return o.set(p, value, true)
	}
	return nil
}

func (p *parser) readOptions() *Failure {
	for {
		o, value, given, fault := p.words.next()
		if fault != nil || o == nil {
			return fault
		}
		if o.verb != "" {
			return usage("invalid option `%s'", p.words.word)
		}
		if o.opt != optNone {
			if p.given[o.opt] {
				return usage("multiple '%s' options specified", optNames[o.opt])
			}
			p.given[o.opt] = true
		}
		if o.set != nil {
			if fault := o.set(p, value, given); fault != nil {
				return fault
			}
		}
	}
}

// set reads the three values of --set.
func (p *parser) set() *Failure {
	if p.c.Verb != Set {
		return nil
	}
	into := []*time.Duration{&p.c.Timeouts.TCP, &p.c.Timeouts.TCPFin, &p.c.Timeouts.UDP}
	if len(p.words.rest) < len(into) {
		return usage("--set option requires 3 timeout values")
	}
	for _, to := range into {
		n, ok := number(p.words.rest[0], 0, maxTimeout)
		if !ok {
			return usage("invalid timeout value `%s' specified", p.words.rest[0])
		}
		*to, p.words.rest = time.Duration(n)*time.Second, p.words.rest[1:]
	}
	return nil
}

func (p *parser) extra() *Failure {
	if len(p.words.rest) > 0 {
		return usage("unexpected argument %s", p.words.rest[0])
	}
	return nil
}

func (p *parser) checkService() *Failure {
	if p.c.Verb != AddService && p.c.Verb != EditService {
		return nil
	}
	if p.fwmark == 0 && p.port == 0 && !p.given[optPersistent] {
		return usage("Zero port specified for non-persistent service")
	}
	if p.given[optOnePacket] && p.fwmark == 0 && p.protocol != lvs.UDP {
		return usage("One-Packet Scheduling is only for UDP virtual services")
	}
	return nil
}

// finish puts together what was read.
func (p *parser) finish() {
	s, d := &p.c.Service, &p.c.Destination
	if p.c.Named = p.given[optService]; p.c.Named {
		s.Key = p.key()
	}
	if s.Scheduler == "" {
		s.Scheduler = lvs.WLC
	}
	s.OnePacket = p.given[optOnePacket]
	if p.given[optPersistent] {
		s.Persistence.Mask = p.v4mask
		if p.family == lvs.IPv6 {
			s.Persistence.Mask = lvs.MaskOf(lvs.IPv6, p.v6bits)
		}
	}
	if p.given[optServer] {
		port := p.real.port
		// Only masquerading changes the port (ipvsadm.c); a deletion is not
		// told the method, and finds only what has the port it names.
		if p.c.Verb != DeleteServer && d.Forward != lvs.Masquerade && p.fwmark == 0 {
			port = p.port
		}
		d.Addr = netip.AddrPortFrom(p.real.addr, port)
	}
	if d.Forward == lvs.Tunnel {
		d.Encap = p.encap
	}
	p.show()
}

func (p *parser) key() lvs.ServiceKey {
	if p.fwmark != 0 {
		return lvs.ServiceKey{Mark: p.fwmark, Family: p.family}
	}
	return lvs.ServiceKey{Protocol: p.protocol, Addr: netip.AddrPortFrom(p.addr, p.port)}
}

func (p *parser) show() {
	s := &p.c.Show
	s.Numeric, s.Exact, s.NoSort = p.given[optNumeric], p.given[optExact], p.given[optNoSort]
	s.Connections, s.Timeouts, s.Daemons = p.given[optConnection], p.given[optTimeout], p.given[optDaemon]
	s.PE = p.given[optPersistentConn]
	for _, m := range []struct {
		opt  opt
		mode Mode
	}{{optTunInfo, TunnelInfo}, {optPersistentConn, PersistentConnections}, {optThresholds, Thresholds}, {optRate, Rates}, {optStats, Stats}} {
		if p.given[m.opt] {
			s.Mode = m.mode
		}
	}
}
