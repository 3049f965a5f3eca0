package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// Validate holds c to the rules across fields that every dialect shares, and
// settles what the rules settle: the ports of destinations, the prefix of
// persistence, what a check has no use for. Doing it twice is doing it once.
func Validate(c *Config) Problems {
	v := &validator{faults: map[Check][]string{}}
	v.dataplane(c)
	v.engine(&c.Engine)
	if len(c.Marks) > MaxRules {
		v.Errorf(Place{}, "%d rules give marks, one for each range of ports; at most %d are possible", len(c.Marks), MaxRules)
	}
	seen := map[lvs.ServiceKey]Place{}
	for i := range c.Services {
		s := &c.Services[i]
		v.service(s)
		if first, ok := seen[s.Key]; ok {
			v.Errorf(s.Place, "virtual service %s is there already, in line %d", s.Key, first.Line)
			continue
		}
		seen[s.Key] = s.Place
	}
	v.routers(c)
	v.api(c)
	return v.Problems
}

type validator struct {
	Problems
	faults map[Check][]string // of those looked at: thousands of real servers may share one
}

func (v *validator) engine(e *Engine) {
	at := Place{}
	if !slices.Contains([]Mode{ModeAuto, ModeXDP, ModeTC}, e.Mode) {
		v.Errorf(at, "engine: unknown mode %q; use auto, xdp or tc", e.Mode)
	}
	for i, name := range e.Interfaces {
		if why := interfaceFault(name, e.Interfaces[:i]); why != "" {
			v.Errorf(at, "engine: %s", why)
		}
	}
	for _, n := range []int{e.Connections, cmp.Or(e.Connections6, MinConnections), e.HalfOpen, e.Wide} {
		if n < MinConnections || n > MaxConnections {
			v.Errorf(at, "engine: a table of %d entries; from %d to %d are possible", n, MinConnections, MaxConnections)
		}
	}
	for _, d := range []time.Duration{e.Timeouts.TCP, e.Timeouts.TCPFin, e.Timeouts.UDP} {
		if d < time.Second || d > MaxTimeout {
			v.Errorf(at, "engine: a timeout of %s; from 1s to %s are possible", d, brief(MaxTimeout))
		}
	}
}

// interfaceFault says why name cannot follow the names before it.
func interfaceFault(name string, before []string) string {
	if name == "" || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' }) {
		return fmt.Sprintf("%q cannot be the name of an interface", name)
	}
	if slices.Contains(before, name) {
		return fmt.Sprintf("interface %s is named twice", name)
	}
	return ""
}

func (v *validator) service(s *Service) {
	v.key(s)
	if !slices.Contains(lvs.Schedulers, s.Scheduler) {
		v.Errorf(s.Place, "unknown scheduler %q; one of %s", s.Scheduler, joined(lvs.Schedulers))
	}
	v.persistence(s)
	if s.OnePacket && s.Key.Protocol != lvs.UDP && s.Key.Mark == 0 {
		v.Warnf(s.Place, "one-packet scheduling is for UDP; it is left out for %s", s.Key)
		s.OnePacket = false
	}
	if len(s.Reals) == 0 {
		v.Warnf(s.Place, "virtual service %s has no real server", s.Key)
	}
	v.reals(s)
	if s.Fallback != nil {
		d := *s.Fallback
		v.destination(s, &d, s.FallbackPlace, "fallback server")
		s.Fallback = &d
	}
}

func (v *validator) key(s *Service) {
	k := &s.Key
	if k.Mark != 0 {
		return
	}
	k.Addr = netip.AddrPortFrom(k.Addr.Addr().Unmap(), k.Addr.Port())
	if why := unusable(k.Addr.Addr()); why != "" {
		v.Errorf(s.Place, "%s cannot be a virtual service: %s", k.Addr.Addr(), why)
	}
	if k.Addr.Port() == 0 && s.Persistence.Timeout == 0 {
		v.Errorf(s.Place, "port 0 takes every port, and needs persistence so that a client stays with one real server")
	}
}

// unusable says why no packet for a can be balanced.
func unusable(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "it is no address"
	case a.Zone() != "":
		return "the address has a zone"
	case a.IsUnspecified():
		return "it means every address; name the one clients use"
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "it is not the address of one host"
	}
	return ""
}

func (v *validator) persistence(s *Service) {
	p := &s.Persistence
	if p.Timeout == 0 {
		*p = lvs.Persistence{}
		return
	}
	if time.Duration(p.Timeout)*time.Second > MaxTimeout {
		v.Errorf(s.Place, "persistence of %d seconds; at most %d are possible", p.Timeout, MaxTimeout/time.Second)
	}
	if !p.Mask.IsValid() {
		p.Mask = lvs.MaskOf(s.Key.AF(), 128)
	}
	if lvs.FamilyOf(p.Mask) != s.Key.AF() {
		v.Errorf(s.Place, "persistence mask %s is not for the addresses of %s", p.Mask, s.Key)
	}
	if p.Engine != "" && s.Key.Protocol != lvs.UDP && s.Key.Mark == 0 {
		v.Warnf(s.Place, "persistence engine %s reads UDP only; other packets of %s are dropped", p.Engine, s.Key)
	}
}

func (v *validator) reals(s *Service) {
	seen := make(map[netip.AddrPort]int, len(s.Reals)) // the lines
	said := map[string]bool{}
	s.Reals = slices.Clone(s.Reals)
	for i := range s.Reals {
		r := &s.Reals[i]
		given, check := r.Addr.Port(), r.Check.Value()
		v.destination(s, &r.Destination, r.Place, "real server")
		if given != r.Addr.Port() && given != 0 && check.Port == 0 {
			// The question still goes where the file sends it.
			check.Port = given
		}
		if first, ok := seen[r.Addr]; ok {
			v.Errorf(r.Place, "real server %s of %s is there already, in line %d", r.Addr, s.Key, first)
		}
		seen[r.Addr] = r.Place.Line
		if check = SettleCheck(check); check != r.Check.Value() {
			r.Check = CheckOf(check)
		}
		v.check(r, said)
	}
}

// check tells each fault of a check once for a service, since all its real
// servers usually share it.
func (v *validator) check(r *Real, said map[string]bool) {
	faults, known := v.faults[r.Check]
	if !known {
		faults = checkFaults(r.Check.Value())
		v.faults[r.Check] = faults
	}
	for _, text := range faults {
		if !said[text] {
			v.Errorf(r.Place, "%s", text)
		}
		said[text] = true
	}
	const mute = "method HEAD brings no body, so that receive can only match an empty one"
	if c := r.Check.Value(); c.Method == "HEAD" && c.Receive != "" && !said[mute] {
		v.Warnf(r.Place, mute)
		said[mute] = true
	}
}

// destination settles one destination of s.
func (v *validator) destination(s *Service, d *lvs.Destination, at Place, what string) {
	d.Addr = netip.AddrPortFrom(d.Addr.Addr().Unmap(), d.Addr.Port())
	a := d.Addr.Addr()
	if why := unusable(a); why != "" {
		v.Errorf(at, "%s cannot be a %s: %s", a, what, why)
		return
	}
	if d.Forward != lvs.Tunnel {
		d.Encap = lvs.Encap{}
	} else if why := d.Encap.Fault(); why != "" {
		v.Errorf(at, "%s %s: %s", what, a, why)
	}
	if lvs.FamilyOf(a) != s.Key.AF() && d.Forward != lvs.Tunnel {
		v.Errorf(at, "%s %s and virtual service %s are of different address families; only a tunnel (ipip, gue or gre) can join them", what, a, s.Key)
	}
	if d.Weight < 0 || d.Weight > MaxWeight {
		v.Errorf(at, "weight %d; from 0 to %d are possible", d.Weight, MaxWeight)
	}
	if d.Upper != 0 && d.Lower > d.Upper {
		v.Errorf(at, "the lower threshold %d is above the upper one %d", d.Lower, d.Upper)
	}
	if d.Forward == lvs.Masquerade && a.IsLoopback() {
		v.Warnf(at, "%s %s: masq to a loopback address reaches nobody, since the kernel drops such packets; use gate, or an address of an interface", what, a)
	}
	v.port(s, d, at, what)
}

// port gives d the port it will have in the table.
func (v *validator) port(s *Service, d *lvs.Destination, at Place, what string) {
	if s.Key.Mark != 0 {
		return
	}
	port := s.Key.Addr.Port()
	switch {
	case d.Addr.Port() == port:
		return
	case d.Addr.Port() == 0: // the service's
	case d.Forward == lvs.Masquerade:
		return
	default:
		name, _ := d.Forward.MarshalText()
		v.Warnf(at, "%s %s: %s leaves the port as it is, so port %d is not used; packets arrive at port %s",
			what, d.Addr, name, d.Addr.Port(), portName(port))
	}
	d.Addr = netip.AddrPortFrom(d.Addr.Addr(), port)
}

func portName(p uint16) string {
	if p == 0 {
		return "they were sent to"
	}
	return fmt.Sprint(p)
}
