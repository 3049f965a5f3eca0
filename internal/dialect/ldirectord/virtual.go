package ldirectord

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// A virtual is a virtual service while its block is read.
type virtual struct {
	settings
	st   statement
	head head

	protocol    lvs.Protocol // 0: not said
	scheduler   lvs.Scheduler
	flags       *statement
	persistent  int
	netmask     *statement
	ops         *statement
	opsYes      bool
	reals       []*real
	checkType   *statement
	kind        string // of checktype
	every       int
	service     string
	serviceAt   *statement
	command     string
	checkPort   int
	request     string
	receive     string
	method      string
	virtualHost string
}

// service reads a block. ok is false when it has no usable address.
func (r *reader) service(b *block) (s config.Service, ok bool) {
	v := &virtual{st: b.head, scheduler: lvs.WRR, kind: "negotiate", request: "/", command: "/bin/true"}
	var ignored string
	var err error
	v.head, ignored, err = parseHead(b.head)
	if err != nil {
		r.errorf(b.head, "%s: %v", b.head.name, err)
	} else if ignored != "" {
		r.warnf(b.head, "%q behind the address is ignored, as with ldirectord", ignored)
	}
	for _, st := range b.body {
		r.body(st, v)
	}
	if err != nil {
		return s, false
	}
	if v.protocol == 0 {
		v.protocol = lvs.TCP
		if v.head.port == "53" || v.head.port == "domain" {
			v.protocol = lvs.UDP
		}
	}
	key, err := r.key(v.head, v.protocol)
	if err != nil {
		r.errorf(b.head, "%s: %v", b.head.name, err)
		return s, false
	}
	return r.build(v, key), true
}

// build is the service v asks for under key.
func (r *reader) build(v *virtual, key lvs.ServiceKey) config.Service {
	s := config.Service{Key: key, Scheduler: v.scheduler, Place: v.st.at,
		Quiescent: said(false, r.settings.quiescent, v.quiescent),
		CleanStop: said(true, r.settings.cleanStop, v.cleanStop)}
	r.flags(v, &s)
	r.persistence(v, &s)
	if v.ops != nil && v.opsYes {
		if s.OnePacket = key.Mark == 0 && key.Protocol == lvs.UDP; !s.OnePacket {
			r.warnf(*v.ops, "ops=yes counts for UDP only and is ignored here, as with ldirectord")
		}
	}
	check := r.check(v, key)
	for _, x := range v.reals {
		r.servers(v, x, check, &s)
	}
	r.serviceFallback(v, &s)
	return s
}

// said is the last of the values that was said at all.
func said(value bool, said ...*bool) bool {
	for _, p := range said {
		if p != nil {
			value = *p
		}
	}
	return value
}

// body reads one statement of a virtual service.
func (r *reader) body(st statement, v *virtual) {
	if st.bare && inBlockOnly(st.name) {
		r.errorf(st, "%s needs a value: %s=…", st.name, st.name)
		return
	}
	if r.shared(st, &v.settings) {
		if st.name == "checkinterval" && !r.fork {
			r.warnf(st, "checkinterval inside a virtual service counts only with fork=yes and is ignored, as with ldirectord")
		}
		return
	}
	switch st.name {
	case "real", "real6":
		r.real(st, v)
	case "protocol":
		r.protocol(st, v)
	case "scheduler":
		r.scheduler(st, v)
	case "schedflags":
		v.flags = &st
	case "persistent":
		if n, ok := r.number(st, 0, int(config.MaxTimeout.Seconds())); ok {
			if v.persistent = n; n == 0 {
				r.warnf(st, "persistent=0 means no persistence here; ldirectord would hand the 0 to ipvsadm")
			}
		}
	case "netmask":
		v.netmask = &st
	case "ops":
		v.ops = &st
		v.opsYes, _ = r.yesNo(st)
	case "monitorfile", "login", "passwd", "database", "secret", "load", "servicename", "comment":
		r.unusedText(st)
	default:
		if !r.checkStatement(st, v) {
			r.misplaced(st)
		}
	}
}

// unusedText reads what has no effect here, but may still be written wrongly.
func (r *reader) unusedText(st statement) {
	ok := true
	switch st.name {
	case "login", "passwd", "database", "secret", "load":
		_, ok = r.quoted(st)
	case "monitorfile":
		_, ok = r.maybeQuoted(st)
	}
	if ok {
		r.notYet(st)
	}
}

func (r *reader) protocol(st statement, v *virtual) {
	word := st.plain()
	if v.head.mark != 0 {
		if word != "fwm" {
			r.errorf(st, "protocol must be fwm, since the virtual service is a firewall mark")
		}
		return
	}
	if word != "tcp" && word != "udp" {
		r.errorf(st, "protocol must be tcp or udp")
		return
	}
	v.protocol, _ = lvs.ParseProtocol(word)
}

// scheduler takes the first run of lower-case letters, as the original does.
func (r *reader) scheduler(st statement, v *virtual) {
	c := dialect.Cursor{Rest: st.seen()}
	lower := func(b byte) bool { return b >= 'a' && b <= 'z' }
	c.While(func(b byte) bool { return !lower(b) })
	word := c.While(lower)
	if st.plain() == "" {
		r.errorf(st, "scheduler must not be empty")
		return
	}
	if word == "" {
		r.errorf(st, "scheduler must be written in lower case: %q", strings.ToLower(st.plain()))
		return
	}
	s, err := lvs.ParseScheduler(word)
	if err != nil {
		r.errorf(st, "%v", err)
		return
	}
	if word != st.plain() {
		r.warnf(st, "scheduler %q is read as %s, as with ldirectord", st.plain(), word)
	}
	v.scheduler = s
}

func (r *reader) flags(v *virtual, s *config.Service) {
	if v.flags == nil {
		return
	}
	word, _, _ := strings.Cut(v.flags.plain(), " ")
	for _, name := range strings.Split(word, ",") {
		if name == "" {
			continue
		}
		bit, err := lvs.ParseFlag(name, v.scheduler)
		if err != nil {
			r.warnf(*v.flags, "%v; it is left out, ipvsadm would refuse the whole service", err)
			continue
		}
		s.SchedFlags |= bit
	}
}

func (r *reader) persistence(v *virtual, s *config.Service) {
	bits, err := uint8(0), error(nil)
	if v.netmask != nil {
		if bits, err = prefix(v.netmask.plain(), v.head.family); err != nil {
			r.errorf(*v.netmask, "netmask: %v", err)
		} else if v.persistent == 0 {
			r.warnf(*v.netmask, "netmask counts only together with persistent and is ignored, as with ldirectord")
		}
	}
	if v.persistent != 0 {
		s.Persistence = lvs.Persistence{Timeout: uint32(v.persistent)}
		if bits != 0 {
			s.Persistence.Mask = lvs.MaskOf(v.head.family, int(bits))
		}
	}
}

// prefix reads a netmask as a number of bits.
func prefix(text string, family lvs.Family) (uint8, error) {
	if family == lvs.IPv6 {
		n := 0
		if digits := leadingDigits(text); digits != text || len(digits) > 3 {
			return 0, fmt.Errorf("%q is no prefix length; from 1 to 128 are possible", text)
		}
		for _, c := range text {
			n = n*10 + int(c-'0')
		}
		if n < 1 || n > 128 {
			return 0, fmt.Errorf("prefix length %s is out of range; from 1 to 128 are possible", text)
		}
		return uint8(n), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("%q is not of the form 255.255.255.0", text)
	}
	b := a.As4()
	mask := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := uint8(0)
	for ; mask&(1<<31) != 0; mask <<= 1 {
		n++
	}
	if mask != 0 || n == 0 {
		return 0, fmt.Errorf("%s is not ones followed by zeros", text)
	}
	return n, nil
}

// serviceFallback gives s its own fallback server, else the global one.
func (r *reader) serviceFallback(v *virtual, s *config.Service) {
	name, own, other := "fallback", v.fallback, v.fallback6
	if v.head.family == lvs.IPv6 {
		name, own, other = "fallback6", v.fallback6, v.fallback
	}
	if other != nil {
		r.errorf(*other, "%s does not fit the address family of %s; use %s", other.name, v.st.name, name)
	}
	f := r.fallback[name]
	if own != nil {
		var err error
		if f, err = r.parseFallback(*own); err != nil {
			r.errorf(*own, "%v", err)
			return
		}
	} else if f != nil && v.head.mark != 0 {
		r.warnf(v.st, "the global %s does not count for firewall marks, as with ldirectord; write it into the virtual service", name)
		return
	}
	if f == nil {
		return
	}
	port := s.Key.Addr.Port()
	if f.port != "" {
		var err error
		if port, err = r.names.PortNumber(f.port, v.portProtocol()); err != nil {
			r.errorf(f.st, "%s: %v", f.st.name, err)
			return
		}
	}
	s.Fallback = &lvs.Destination{Addr: netip.AddrPortFrom(f.addr, port), Forward: f.forward, Weight: 1}
	s.FallbackPlace = f.st.at
}

// portProtocol is the protocol by which names of ports are looked up.
func (v *virtual) portProtocol() string {
	if v.protocol == 0 {
		return "tcp"
	}
	return strings.ToLower(v.protocol.String())
}
