package config

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/weir-lb/weir/internal/lvs"
)

// Write is c as a weir.yaml in its canonical form: what is as by default is
// left out, and reading it again gives c.
func Write(c Config) []byte {
	root := &mapping{}
	if c.AutoReload {
		root.word("auto_reload", "true")
	}
	if c.LogFile != "" {
		root.text("log_file", c.LogFile)
	}
	if c.AuditFile != "" {
		root.text("audit_file", c.AuditFile)
	}
	root.child("api", apiNode(c.API))
	root.child("proc_files", procNode(c.ProcFiles))
	if c.Engine.Dataplane != EBPF {
		root.word("dataplane", string(c.Engine.Dataplane))
	}
	if c.Drift != ReportDrift {
		root.word("drift", string(c.Drift))
	}
	root.child("engine", engineNode(c.Engine))
	marks := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range c.Marks {
		marks.Content = append(marks.Content, markNode(r).node())
	}
	if len(marks.Content) > 0 {
		root.add("marks", marks)
	}
	routers := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range c.Routers {
		routers.Content = append(routers.Content, routerNode(r).node())
	}
	if len(routers.Content) > 0 {
		root.add("routers", routers)
	}
	services := &yaml.Node{Kind: yaml.SequenceNode}
	for _, s := range c.Services {
		services.Content = append(services.Content, serviceNode(s).node())
	}
	if len(services.Content) > 0 {
		root.add("services", services)
	}
	if len(root.content) == 0 {
		return []byte("services: []\n")
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root.node()); err != nil {
		// A tree of plain scalars always encodes, into memory at that.
		panic("config: write: " + err.Error())
	}
	return b.Bytes()
}

// A mapping collects keys in the order they are said.
type mapping struct{ content []*yaml.Node }

func (m *mapping) node() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Content: m.content} }

func (m *mapping) add(name string, value *yaml.Node) {
	m.content = append(m.content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, value)
}

// word adds a value that stands bare: a number, true, a time.
func (m *mapping) word(name, value string) {
	m.add(name, &yaml.Node{Kind: yaml.ScalarNode, Value: value})
}

// text adds a value that must be read back as text, quoted where it has to be.
func (m *mapping) text(name, value string) { m.add(name, textNode(value)) }

func textNode(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	if value == "" || strings.ContainsAny(value, "\r\n\t\"'\\") || strings.TrimSpace(value) != value {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func (m *mapping) number(name string, value, def int) {
	if value != def {
		m.word(name, strconv.Itoa(value))
	}
}

func (m *mapping) duration(name string, value, def time.Duration) {
	if value != def {
		m.word(name, brief(value))
	}
}

func (m *mapping) child(name string, c *mapping) {
	if len(c.content) > 0 {
		m.add(name, c.node())
	}
}

func (m *mapping) texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, v := range values {
		list.Content = append(list.Content, textNode(v))
	}
	m.add(name, list)
}

func engineNode(e Engine) *mapping {
	def := Default().Engine
	m := &mapping{}
	if e.Mode != def.Mode {
		m.word("mode", string(e.Mode))
	}
	m.texts("interfaces", e.Interfaces)
	m.number("connections", e.Connections, def.Connections)
	m.number("connections_ipv6", e.Connections6, def.Connections6)
	m.number("wide", e.Wide, def.Wide)
	m.number("half_open", e.HalfOpen, def.HalfOpen)
	t := &mapping{}
	t.duration("tcp", e.Timeouts.TCP, def.Timeouts.TCP)
	t.duration("tcp_fin", e.Timeouts.TCPFin, def.Timeouts.TCPFin)
	t.duration("udp", e.Timeouts.UDP, def.Timeouts.UDP)
	m.child("timeouts", t)
	v := &mapping{}
	for _, s := range lvs.AllSysctls() {
		v.number(s.Info().Name, e.Sysctls[s], s.Info().Default)
	}
	m.child("vs", v)
	return m
}

func serviceNode(s Service) *mapping {
	m := &mapping{}
	m.text("listen", listenText(s.Key))
	m.word("scheduler", string(s.Scheduler))
	m.texts("flags", lvs.FlagNames(s.SchedFlags, s.Scheduler))
	if p := s.Persistence; p.Timeout != 0 {
		pm := &mapping{}
		pm.duration("timeout", time.Duration(p.Timeout)*time.Second, 0)
		if bits, ok := p.Prefix(); ok {
			pm.number("prefix", bits, p.Mask.BitLen())
		} else {
			pm.text("netmask", p.Mask.String())
		}
		if p.Engine != "" {
			pm.text("engine", p.Engine)
		}
		m.child("persistence", pm)
	}
	if s.OnePacket {
		m.word("one_packet", "true")
	}
	common := way{"gate", defaultTunnel}
	if len(s.Reals) > 0 {
		common = common.said(m, s.Reals[0].Destination)
	} else {
		m.word("forward", common.method)
	}
	if s.Quiescent {
		m.word("quiescent", "true")
	}
	if !s.CleanStop {
		m.word("clean_stop", "false")
	}
	base := DefaultCheck()
	if len(s.Reals) > 0 {
		m.child("check", checkNode(&base, s.Reals[0].Check.Value()))
	}
	if s.Fallback != nil {
		fm := addressNode(*s.Fallback)
		common.said(fm, *s.Fallback)
		m.child("fallback", fm)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range s.Reals {
		list.Content = append(list.Content, realNode(r, common, base).node())
	}
	if len(list.Content) > 0 {
		m.add("destinations", list)
	}
	return m
}

func listenText(k lvs.ServiceKey) string {
	if k.Mark != 0 {
		text := "fwmark " + strconv.FormatUint(uint64(k.Mark), 10)
		if k.Family == lvs.IPv6 {
			text += " -6"
		}
		return text
	}
	return strings.ToLower(k.Protocol.String()) + " " + k.Addr.String()
}

// A way is how requests travel where nothing else is said.
type way struct {
	method string
	tunnel lvs.Encap // port and checksum
}

// said writes the way to d in full, and is what then holds below.
func (w way) said(m *mapping, d lvs.Destination) way {
	m.word("forward", d.Method())
	w.method = d.Method()
	return w.tunnelled(m, d)
}

// tunnelled says what is not as w has it.
func (w way) tunnelled(m *mapping, d lvs.Destination) way {
	t := &mapping{}
	if d.Encap.Type == lvs.GUE {
		t.number("port", int(d.Encap.Port), int(w.tunnel.Port))
		w.tunnel.Port = d.Encap.Port
	}
	if d.Encap.Type != lvs.IPIP && d.Encap.Checksum != w.tunnel.Checksum {
		t.word("checksum", d.Encap.Checksum.String())
		w.tunnel.Checksum = d.Encap.Checksum
	}
	m.child("tunnel", t)
	return w
}

func addressNode(d lvs.Destination) *mapping {
	m := &mapping{}
	if d.Addr.Port() == 0 {
		m.text("address", d.Addr.Addr().String())
	} else {
		m.text("address", d.Addr.String())
	}
	return m
}

func realNode(r Real, common way, base lvs.Check) *mapping {
	m := addressNode(r.Destination)
	if r.Method() != common.method {
		m.word("forward", r.Method())
	}
	common.tunnelled(m, r.Destination)
	m.number("weight", r.Weight, 1)
	m.number("upper", int(r.Upper), 0)
	m.number("lower", int(r.Lower), 0)
	m.child("check", checkNode(&base, r.Check.Value()))
	return m
}

// checkNode says what must be said to get from base to c, and makes base the
// check that is then inherited. It asks SettleCheck what would come out, so
// that it cannot disagree with the reader about defaults.
func checkNode(base *lvs.Check, c lvs.Check) *mapping {
	m := &mapping{}
	if base.Kind != c.Kind {
		base.Kind = c.Kind
		m.word("kind", string(c.Kind))
	}
	number := func(name string, have *int, out func(lvs.Check) int, want int) {
		if out(SettleCheck(*base)) != want {
			*have = want
			m.word(name, strconv.Itoa(want))
		}
	}
	text := func(name string, have *string, out func(lvs.Check) string, want string) {
		if out(SettleCheck(*base)) != want {
			*have = want
			m.text(name, want)
		}
	}
	duration := func(name string, have *time.Duration, out func(lvs.Check) time.Duration, want time.Duration) {
		if out(SettleCheck(*base)) != want {
			*have = want
			m.word(name, brief(want))
		}
	}
	if SettleCheck(*base).Port != c.Port {
		base.Port = c.Port
		m.word("port", strconv.Itoa(int(c.Port)))
	}
	text("request", &base.Request, func(c lvs.Check) string { return c.Request }, c.Request)
	text("receive", &base.Receive, func(c lvs.Check) string { return c.Receive }, c.Receive)
	text("host", &base.Host, func(c lvs.Check) string { return c.Host }, c.Host)
	text("method", &base.Method, func(c lvs.Check) string { return c.Method }, c.Method)
	text("command", &base.Command, func(c lvs.Check) string { return c.Command }, c.Command)
	duration("interval", &base.Interval, func(c lvs.Check) time.Duration { return c.Interval }, c.Interval)
	duration("timeout", &base.Timeout, func(c lvs.Check) time.Duration { return c.Timeout }, c.Timeout)
	number("attempts", &base.Attempts, func(c lvs.Check) int { return c.Attempts }, c.Attempts)
	number("fall", &base.Fall, func(c lvs.Check) int { return c.Fall }, c.Fall)
	number("rise", &base.Rise, func(c lvs.Check) int { return c.Rise }, c.Rise)
	number("every", &base.Every, func(c lvs.Check) int { return c.Every }, c.Every)
	duration("connect_timeout", &base.ConnectTimeout, func(c lvs.Check) time.Duration { return c.ConnectTimeout }, c.ConnectTimeout)
	return m
}
