package config

import (
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/weir-lb/weir/internal/lvs"
)

// Parse reads a weir.yaml. The configuration is what the file wishes for,
// checked and complete.
// It is only to be used when the problems hold no error.
func Parse(file string, text []byte) (Config, Problems) {
	r := &reader{file: file}
	c := Default()
	if root := r.document(text); root != nil {
		r.root(root, &c)
	}
	r.problems = append(r.problems, Validate(&c)...)
	return c, r.problems.Sorted()
}

// defaults are what a service takes when it does not say it itself.
type defaults struct {
	scheduler lvs.Scheduler
	forward   string
	tunnel    lvs.Encap // port and checksum, where the method needs them
	quiescent bool
	cleanStop bool
	check     lvs.Check
	settled   Check // the same, of a service
}

func (r *reader) root(n *yaml.Node, c *Config) {
	f := r.object(n, rootKeys)
	r.dataplane(f, c)
	r.unfit(f)
	f.bool("auto_reload", &c.AutoReload)
	if f.text("log_file", &c.LogFile) {
		if err := ValidLogFile(c.LogFile); err != nil {
			n, _, _ := f.get("log_file")
			r.errorf(n, "log_file: %v", err)
		}
	}
	r.path(f, "audit_file", &c.AuditFile)
	if n := f.node["audit_file"]; n != nil {
		c.AuditPlace = r.place(n)
	}
	if a, ok := f.child("api"); ok {
		r.api(a, &c.API)
	}
	if p, ok := f.child("proc_files"); ok {
		r.proc(p, &c.ProcFiles)
	}
	if e, ok := f.child("engine"); ok {
		r.engine(e, &c.Engine)
	}
	d := defaults{scheduler: lvs.WLC, forward: "gate", tunnel: defaultTunnel, cleanStop: true, check: DefaultCheck()}
	if s, ok := f.child("defaults"); ok {
		r.common(s, &d)
		if k, ok := s.child("check"); ok {
			r.check(k, &d.check)
		}
	}
	for _, m := range f.children("marks") {
		c.Marks = append(c.Marks, r.marks(m)...)
	}
	for _, x := range f.children("routers") {
		c.Routers = append(c.Routers, r.router(x))
	}
	for _, s := range f.children("services") {
		if svc, ok := r.service(s, d); ok {
			c.Services = append(c.Services, svc)
		}
	}
}

func (r *reader) engine(f fields, e *Engine) {
	r.unfit(f)
	readWord(f, "mode", &e.Mode)
	for _, n := range f.texts("interfaces") {
		if why := interfaceFault(n.Value, e.Interfaces); why != "" {
			r.errorf(n, "interfaces: %s", why)
			continue
		}
		e.Interfaces = append(e.Interfaces, n.Value)
	}
	readNumber(f, "connections", &e.Connections)
	readNumber(f, "connections_ipv6", &e.Connections6)
	readNumber(f, "half_open", &e.HalfOpen)
	readNumber(f, "wide", &e.Wide)
	if v, ok := f.child("vs"); ok {
		for _, s := range lvs.AllSysctls() {
			readNumber(v, s.Info().Name, &e.Sysctls[s])
		}
	}
	t, _ := f.child("timeouts")
	t.duration("tcp", &e.Timeouts.TCP)
	t.duration("tcp_fin", &e.Timeouts.TCPFin)
	t.duration("udp", &e.Timeouts.UDP)
}

// common reads the keys that a service and the defaults share.
func (r *reader) common(f fields, d *defaults) {
	readWord(f, "scheduler", &d.scheduler)
	readWord(f, "forward", &d.forward)
	r.tunnel(f, &d.tunnel)
	f.bool("quiescent", &d.quiescent)
	f.bool("clean_stop", &d.cleanStop)
}

func (r *reader) service(f fields, d defaults) (Service, bool) {
	s := Service{Place: r.place(f.at)}
	listening := r.listen(f, &s)
	r.common(f, &d)
	s.Scheduler, s.Quiescent, s.CleanStop = d.scheduler, d.quiescent, d.cleanStop
	r.flags(f, &s)
	r.persistence(f, &s)
	f.bool("one_packet", &s.OnePacket)
	if k, ok := f.child("check"); ok {
		r.check(k, &d.check)
		r.unused(k, d.check.Kind)
	}
	if b, ok := f.child("fallback"); ok {
		s.FallbackPlace = r.place(b.at)
		dest := lvs.Destination{Weight: 1}
		if r.address(b, d, &dest) {
			// masq cannot reach a loopback address, gate can.
			if dest.Addr.Addr().IsLoopback() && !b.has("forward") {
				dest.Forward, dest.Encap = lvs.DirectRoute, lvs.Encap{}
			}
			s.Fallback = &dest
		}
	}
	d.settled = CheckOf(SettleCheck(d.check))
	destinations := f.children("destinations")
	s.Reals = make([]Real, 0, len(destinations))
	for _, x := range destinations {
		if real, ok := r.destination(x, d); ok {
			s.Reals = append(s.Reals, real)
		}
	}
	return s, listening
}

func (r *reader) listen(f fields, s *Service) bool {
	var text string
	n, _, ok := f.get("listen")
	if !ok || !f.text("listen", &text) {
		return false
	}
	k, err := lvs.ParseServiceKey(text)
	if err != nil {
		r.errorf(n, "listen: %v", err)
		return false
	}
	s.Key = k
	return true
}

func (r *reader) flags(f fields, s *Service) {
	for _, n := range f.texts("flags") {
		bit, err := lvs.ParseFlag(n.Value, s.Scheduler)
		if err != nil {
			r.errorf(n, "flags: %v", err)
			continue
		}
		s.SchedFlags |= bit
	}
}

func (r *reader) persistence(f fields, s *Service) {
	p, ok := f.child("persistence")
	if !ok {
		return
	}
	var timeout time.Duration
	p.duration("timeout", &timeout)
	r.mask(p, s)
	readWord(p, "engine", &s.Persistence.Engine)
	if timeout%time.Second != 0 {
		r.errorf(p.at, "persistence: %s is not a number of whole seconds", timeout)
	}
	s.Persistence.Timeout = uint32(timeout / time.Second)
}

// mask reads which bits of a client's address count: a number of bits, or for
// IPv4 a netmask, which may have holes as in IPVS.
func (r *reader) mask(p fields, s *Service) {
	bits := 0
	readNumber(p, "prefix", &bits)
	if bits != 0 {
		if most := s.Key.AddressBits(); s.Key != (lvs.ServiceKey{}) && bits > most {
			r.errorf(p.node["prefix"], "persistence for /%d; the addresses of %s have %d bits", bits, s.Key, most)
			return
		}
		s.Persistence.Mask = lvs.MaskOf(s.Key.AF(), bits)
	}
	var text string
	if !p.text("netmask", &text) {
		return
	}
	m, err := netip.ParseAddr(text)
	if err != nil || !m.Is4() || s.Key.AF() != lvs.IPv4 || bits != 0 {
		r.errorf(p.node["netmask"], "netmask: want the mask of an IPv4 service, 255.255.255.0, and no prefix beside it; have %q", text)
		return
	}
	s.Persistence.Mask = m
}

func (r *reader) destination(f fields, d defaults) (Real, bool) {
	real := Real{Place: r.place(f.at), Check: d.settled}
	real.Weight = 1
	ok := r.address(f, d, &real.Destination)
	readNumber(f, "weight", &real.Weight)
	readNumber(f, "upper", &real.Upper)
	readNumber(f, "lower", &real.Lower)
	if k, said := f.child("check"); said {
		r.check(k, &d.check)
		r.unused(k, d.check.Kind)
		real.Check = CheckOf(SettleCheck(d.check))
	}
	return real, ok
}

// defaultTunnel has the port IANA gave to GUE.
var defaultTunnel = lvs.Encap{Port: 6080}

func (r *reader) tunnel(f fields, e *lvs.Encap) {
	t, ok := f.child("tunnel")
	if !ok {
		return
	}
	sum := e.Checksum.String()
	readNumber(t, "port", &e.Port)
	readWord(t, "checksum", &sum)
	e.Checksum, _ = lvs.ParseTunnelChecksum(sum) // the tables allow no other word
}

// encap is what a method uses of what is said about tunnels.
func encap(kind lvs.TunnelType, said lvs.Encap) lvs.Encap {
	switch kind {
	case lvs.GUE:
		said.Type = kind
		return said
	case lvs.GRE:
		return lvs.Encap{Type: kind, Checksum: said.Checksum}
	}
	return lvs.Encap{}
}

// address reads where a destination is and how to get there.
func (r *reader) address(f fields, def defaults, d *lvs.Destination) bool {
	readWord(f, "forward", &def.forward)
	r.tunnel(f, &def.tunnel)
	var kind lvs.TunnelType
	d.Forward, kind, _ = lvs.ParseMethod(def.forward) // the tables allow no other word
	d.Encap = encap(kind, def.tunnel)
	if f.has("tunnel") && kind == lvs.IPIP {
		r.errorf(f.node["tunnel"], "tunnel: says how gue and gre wrap packets; this one goes by %s", def.forward)
	}
	var text string
	n, _, ok := f.get("address")
	if !ok || !f.text("address", &text) {
		return false
	}
	ap, ok := parseAddress(text)
	if !ok {
		r.errorf(n, "address: %q is neither an address nor address:port; write 192.0.2.10:80, [2001:db8::10]:80 or 192.0.2.10", text)
		return false
	}
	d.Addr = ap
	return true
}

// parseAddress reads an address with or without port; no port is port 0.
func parseAddress(s string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap, true
	}
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(bare)
	return netip.AddrPortFrom(a, 0), err == nil
}

func (r *reader) check(f fields, c *lvs.Check) {
	readWord(f, "kind", &c.Kind)
	readNumber(f, "port", &c.Port)
	f.text("request", &c.Request)
	f.text("host", &c.Host)
	readWord(f, "method", &c.Method)
	f.text("command", &c.Command)
	f.duration("interval", &c.Interval)
	f.duration("timeout", &c.Timeout)
	readNumber(f, "attempts", &c.Attempts)
	readNumber(f, "fall", &c.Fall)
	readNumber(f, "rise", &c.Rise)
	readNumber(f, "every", &c.Every)
	f.duration("connect_timeout", &c.ConnectTimeout)
	receive := c.Receive
	f.text("receive", &receive)
	if err := ValidPattern(receive); err != nil {
		r.errorf(f.node["receive"], "receive: %v", err)
		return
	}
	c.Receive = receive
}

// unused warns of keys that do nothing because of the kind of the check.
func (r *reader) unused(f fields, kind lvs.CheckKind) {
	for _, k := range f.of.keys {
		if f.has(k.name) && !usesKey(kind, k.name) {
			r.problems.Warnf(r.place(f.node[k.name]), "%s does nothing in a check of kind %s", k.name, kind)
		}
	}
}
