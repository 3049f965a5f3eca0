package config_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// Checks are compared by what they say, so that a difference can be read.
var comparable = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{}, netip.Prefix{}),
	cmp.Transformer("check", config.Check.Value)}

// withoutPlaces is c without the lines it was written in.
func withoutPlaces(c config.Config) config.Config {
	c.API.Places, c.AuditPlace = nil, config.Place{}
	c.API.Place, c.ProcFiles.Place = config.Place{}, config.Place{}
	c.API.Clients = slices.Clone(c.API.Clients)
	for i := range c.API.Clients {
		c.API.Clients[i].Place = config.Place{}
	}
	c.Routers = slices.Clone(c.Routers)
	for i := range c.Routers {
		c.Routers[i].Place = config.Place{}
	}
	c.Services = slices.Clone(c.Services)
	for i := range c.Services {
		s := &c.Services[i]
		s.Place, s.FallbackPlace = config.Place{}, config.Place{}
		s.Reals = slices.Clone(s.Reals)
		for j := range s.Reals {
			s.Reals[j].Place = config.Place{}
		}
	}
	return c
}

// TestWriteAndParse: whatever configuration is true, writing and reading it
// gives it back.
func TestWriteAndParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		if err := config.Validate(&c).Err(); err != nil {
			t.Fatalf("drawn badly: %v", err)
		}
		text := config.Write(c)
		again, problems := config.Parse("f", text)
		if err := problems.Err(); err != nil {
			t.Fatalf("refused: %v\n%s", err, text)
		}
		if d := cmp.Diff(c, withoutPlaces(again), comparable...); d != "" {
			t.Fatalf("-want +have\n%s\n%s", d, text)
		}
		before := config.Write(c)
		if config.Validate(&c); string(before) != string(config.Write(c)) {
			t.Fatalf("validating twice changes more than validating once")
		}
	})
}

func drawConfig(t *rapid.T) config.Config {
	c := config.Default()
	c.AutoReload = rapid.Bool().Draw(t, "auto")
	c.LogFile = rapid.SampledFrom([]string{"", "local0", "/var/log/weir log", "/var/a: b #c", "LOG_DAEMON"}).Draw(t, "log")
	c.AuditFile = rapid.SampledFrom([]string{"", "/var/log/weir: audit"}).Draw(t, "audit")
	if rapid.Bool().Draw(t, "api") {
		c.API = drawAPI(t)
	}
	if rapid.Bool().Draw(t, "proc") {
		c.ProcFiles = config.ProcFiles{Directory: "/run/x y", Interval: drawTime(t, time.Second), Connections: rapid.Bool().Draw(t, "conns")}
	}
	if rapid.Bool().Draw(t, "engine") {
		c.Engine = config.Engine{Dataplane: config.EBPF, Mode: rapid.SampledFrom([]config.Mode{"auto", "xdp", "tc"}).Draw(t, "mode"),
			Interfaces:  rapid.SampledFrom([][]string{nil, {"eth0"}, {"on", "7", "null"}}).Draw(t, "interfaces"),
			Connections: rapid.IntRange(config.MinConnections, config.MaxConnections).Draw(t, "connections"),
			HalfOpen:    rapid.IntRange(config.MinConnections, config.MaxConnections).Draw(t, "half"),
			Wide:        rapid.IntRange(config.MinConnections, config.MaxConnections).Draw(t, "wide"),
			Sysctls:     drawSysctls(t),
			Timeouts:    lvs.Timeouts{TCP: drawTime(t, time.Second), TCPFin: drawTime(t, time.Second), UDP: drawTime(t, time.Second)}}
	}
	for range rapid.IntRange(0, 3).Draw(t, "marks") {
		c.Marks = append(c.Marks, drawRule(t))
	}
	if rapid.Bool().Draw(t, "ipvs") {
		e := config.Default().Engine
		e.Dataplane, e.Sysctls, e.Timeouts = config.IPVS, c.Engine.Sysctls, c.Engine.Timeouts
		c.Engine, c.Marks = e, nil
		c.Drift = rapid.SampledFrom([]config.Drift{"report", "correct"}).Draw(t, "drift")
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "routers") {
		c.Routers = append(c.Routers, drawRouter(t, i))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "services") {
		c.Services = append(c.Services, drawService(t, i))
	}
	return c
}

func drawAPI(t *rapid.T) config.API {
	a := config.API{Listen: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:ffff::1]:7443")}, Certificate: "/c", Key: "/k",
		Rate: rapid.IntRange(1, 100000).Draw(t, "rate"), Connections: rapid.IntRange(4, 65536).Draw(t, "conns")}
	if rapid.Bool().Draw(t, "four") {
		a.Listen = append(a.Listen, netip.MustParseAddrPort("0.0.0.0:7443"))
	}
	if rapid.Bool().Draw(t, "tokens") {
		a.Tokens = "/t: #"
	}
	if a.Tokens == "" || rapid.Bool().Draw(t, "ca") {
		a.ClientCA = "/ca"
		a.Clients = []config.APIClient{{Name: "ops: x", Role: lvs.Role(rapid.IntRange(1, 3).Draw(t, "role"))}, {Name: "7", Role: lvs.RoleRead}}
	}
	return a
}

func drawTime(t *rapid.T, unit time.Duration) time.Duration {
	return unit * time.Duration(rapid.IntRange(1, 86400).Draw(t, "time"))
}

func drawAddr(t *rapid.T, six bool, low byte) netip.Addr {
	if six {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: rapid.Byte().Draw(t, "b"), 15: low})
	}
	return netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "b"), 1, low})
}

func drawSysctls(t *rapid.T) (v lvs.Sysctls) {
	for _, s := range lvs.AllSysctls() {
		v[s] = rapid.IntRange(s.Info().Min, s.Info().Max).Draw(t, s.Info().Name)
	}
	return v
}

func drawRule(t *rapid.T) lvs.Rule {
	six := rapid.Bool().Draw(t, "six")
	network := func(name string) netip.Prefix {
		if rapid.Bool().Draw(t, name+" any") {
			return netip.Prefix{}
		}
		a := drawAddr(t, six, 9)
		p, err := a.Prefix(rapid.IntRange(1, a.BitLen()).Draw(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ports := func(name string) lvs.PortRange {
		if rapid.Bool().Draw(t, name+" any") {
			return lvs.PortRange{}
		}
		first := rapid.Uint16Range(1, 65535).Draw(t, name)
		return lvs.PortRange{First: first, Last: rapid.Uint16Range(first, 65535).Draw(t, name+" to")}
	}
	return lvs.Rule{Mark: rapid.Uint32Min(1).Draw(t, "mark"),
		Protocol: rapid.SampledFrom([]lvs.Protocol{0, lvs.TCP, lvs.UDP, lvs.SCTP}).Draw(t, "protocol"),
		From:     network("from"), To: network("to"), Ports: ports("ports"), SourcePorts: ports("source ports"),
		Interface: rapid.SampledFrom([]string{"", "eth0"}).Draw(t, "interface")}
}

func drawMask(t *rapid.T, f lvs.Family) netip.Addr {
	if f == lvs.IPv4 && rapid.Bool().Draw(t, "holes") {
		return netip.AddrFrom4([4]byte{0, 0, rapid.Byte().Draw(t, "b"), 24})
	}
	return lvs.MaskOf(f, rapid.IntRange(1, 128).Draw(t, "prefix"))
}

func drawService(t *rapid.T, i int) config.Service {
	six := rapid.Bool().Draw(t, "six")
	s := config.Service{Scheduler: rapid.SampledFrom(lvs.Schedulers).Draw(t, "scheduler"),
		SchedFlags: uint8(rapid.IntRange(0, 7).Draw(t, "flags")),
		Quiescent:  rapid.Bool().Draw(t, "quiescent"), CleanStop: rapid.Bool().Draw(t, "clean")}
	port := uint16(rapid.IntRange(1, 65535).Draw(t, "port"))
	s.Key = lvs.ServiceKey{Protocol: rapid.SampledFrom([]lvs.Protocol{lvs.TCP, lvs.UDP, lvs.SCTP}).Draw(t, "protocol"),
		Addr: netip.AddrPortFrom(drawAddr(t, six, byte(i+1)), port)}
	if rapid.IntRange(0, 4).Draw(t, "mark") == 0 {
		s.Key = lvs.ServiceKey{Mark: uint32(i + 1), Family: lvs.IPv4}
		if six {
			s.Key.Family = lvs.IPv6
		}
	}
	s.OnePacket = s.Key.Protocol == lvs.UDP && rapid.Bool().Draw(t, "ops")
	if rapid.Bool().Draw(t, "persistent") {
		s.Persistence = lvs.Persistence{Timeout: uint32(rapid.IntRange(1, 86400).Draw(t, "p")), Mask: drawMask(t, s.Key.AF())}
	}
	if rapid.Bool().Draw(t, "fallback") {
		d := drawDestination(t, six, 250)
		d.Weight, d.Upper, d.Lower = 1, 0, 0
		s.Fallback = &d
	}
	for j := range rapid.IntRange(0, 4).Draw(t, "reals") {
		s.Reals = append(s.Reals, config.Real{Destination: drawDestination(t, six, byte(j+1)), Check: config.CheckOf(drawCheck(t))})
	}
	return s
}

func drawDestination(t *rapid.T, six bool, low byte) lvs.Destination {
	d := lvs.Destination{Forward: rapid.SampledFrom([]lvs.Forwarding{lvs.Masquerade, lvs.Tunnel, lvs.DirectRoute}).Draw(t, "forward"),
		Addr:   netip.AddrPortFrom(drawAddr(t, six, low), uint16(rapid.IntRange(0, 65535).Draw(t, "dport"))),
		Weight: rapid.IntRange(0, config.MaxWeight).Draw(t, "weight"),
		Upper:  rapid.Uint32Range(0, 9).Draw(t, "upper")}
	d.Lower = rapid.Uint32Range(0, d.Upper).Draw(t, "lower")
	if d.Forward == lvs.Tunnel {
		d.Encap = drawEncap(t)
	}
	return d
}

func drawEncap(t *rapid.T) lvs.Encap {
	e := lvs.Encap{Type: lvs.TunnelType(rapid.Uint8Range(0, 2).Draw(t, "tunnel"))}
	switch e.Type {
	case lvs.GUE:
		e.Port = rapid.SampledFrom([]uint16{6080, 5555, 1}).Draw(t, "tport")
		e.Checksum = lvs.TunnelChecksum(rapid.Uint8Range(0, 2).Draw(t, "tsum"))
	case lvs.GRE:
		e.Checksum = lvs.TunnelChecksum(rapid.Uint8Range(0, 1).Draw(t, "tsum"))
	}
	return e
}

func drawCheck(t *rapid.T) lvs.Check {
	text := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	c := lvs.Check{Kind: lvs.CheckKind(text("kind", "connect", "http", "https", "simpletcp", "ping", "external", "on", "off")),
		Port:    uint16(rapid.IntRange(0, 65535).Draw(t, "cport")),
		Receive: text("receive", "", "ok", `a"b\d: #`, " x\n", "200", "true", "ÄÖ", "~"), Command: text("command", "/bin/true", "yes"),
		Interval: drawTime(t, 100*time.Millisecond), Timeout: drawTime(t, 10*time.Millisecond),
		Attempts: rapid.IntRange(0, 100).Draw(t, "attempts"), Fall: rapid.IntRange(0, 9).Draw(t, "fall"), Rise: rapid.IntRange(0, 9).Draw(t, "rise"),
		Every: rapid.IntRange(0, 9).Draw(t, "every")}
	if rapid.Bool().Draw(t, "ct") {
		c.ConnectTimeout = drawTime(t, 10*time.Millisecond)
	}
	switch c.Kind {
	case lvs.CheckHTTP, lvs.CheckHTTPS:
		c.Request = text("request", "", "/a?b=c", string(c.Kind)+"://h/x")
		c.Host = text("host", "", "www.example.com", "1.5")
		c.Method = text("method", "", "GET", "HEAD")
	default:
		c.Request = text("request", "", "HELO\nQUIT", "\t\x01", "'\"'")
	}
	return config.SettleCheck(c)
}
