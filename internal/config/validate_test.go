package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// valid is a configuration without fault, as a dialect would build it.
func valid() (c config.Config, s *config.Service, r *config.Real) {
	c = config.Default()
	check := config.DefaultCheck()
	check.Kind = lvs.CheckHTTP
	c.Services = []config.Service{{
		Key:       lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")},
		Scheduler: lvs.WLC,
		Place:     config.Place{File: "f", Line: 1},
		Reals: []config.Real{{Check: config.CheckOf(check), Place: config.Place{File: "f", Line: 2},
			Destination: lvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.1:8080"), Weight: 1}}},
	}}
	s = &c.Services[0]
	return c, s, &s.Reals[0]
}

// asked has r asked otherwise.
func asked(r *config.Real, change func(*lvs.Check)) {
	check := r.Check.Value()
	change(&check)
	r.Check = config.CheckOf(check)
}

// TestValidate breaks one thing at a time in ways a file of weir.yaml cannot,
// but another dialect could.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(c *config.Config, s *config.Service, r *config.Real)
		want string // the beginning of the only problem
	}{
		{"weight above", func(_ *config.Config, _ *config.Service, r *config.Real) { r.Weight = 65536 }, "f:2: weight 65536;"},
		{"weight below", func(_ *config.Config, _ *config.Service, r *config.Real) { r.Weight = -1 }, "f:2: weight -1;"},
		{"persistence too long", func(_ *config.Config, s *config.Service, _ *config.Real) { s.Persistence.Timeout = 31*24*3600 + 1 }, "f:1: persistence of 2678401 seconds"},
		{"persistence too fine", func(_ *config.Config, s *config.Service, _ *config.Real) {
			s.Persistence = lvs.Persistence{Timeout: 5, Mask: lvs.MaskOf(lvs.IPv6, 64)}
		}, "f:1: persistence mask ffff:ffff:ffff:ffff:: is not for the addresses"},
		{"one packet on TCP", func(_ *config.Config, s *config.Service, _ *config.Real) { s.OnePacket = true }, "f:1: warning: one-packet"},
		{"scheduler", func(_ *config.Config, s *config.Service, _ *config.Real) { s.Scheduler = "" }, `f:1: unknown scheduler ""`},
		{"HEAD with receive", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Method, c.Receive = "HEAD", "x" })
		}, "f:2: warning: method HEAD"},
		{"method", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Method = "POST" })
		}, `f:2: unknown HTTP method "POST"`},
		{"blank in request", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Request = "/a b" })
		}, "f:2: request and host"},
		{"line feed in host", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Host = "a\nb" })
		}, "f:2: request and host"},
		{"kind", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Kind = "telnet" })
		}, `f:2: unknown kind of check "telnet"`},
		{"no interval", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Interval = 0 })
		}, "f:2: a check needs an interval"},
		{"no timeout", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Timeout = 0 })
		}, "f:2: a check needs an interval"},
		{"negative every", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Every = -1 })
		}, "f:2: every must not"},
		{"pattern", func(_ *config.Config, _ *config.Service, r *config.Real) {
			asked(r, func(c *lvs.Check) { c.Receive = "(" })
		}, "f:2: receive: not a regular"},
		{"no address", func(_ *config.Config, _ *config.Service, r *config.Real) { r.Addr = netip.AddrPort{} }, "f:2: invalid IP cannot be a real server"},
		{"masq to loopback", func(_ *config.Config, _ *config.Service, r *config.Real) {
			r.Addr = netip.MustParseAddrPort("127.0.0.1:80")
		}, "f:2: warning: real server 127.0.0.1: masq"},
		{"gate to another port", func(_ *config.Config, _ *config.Service, r *config.Real) { r.Forward = lvs.DirectRoute }, "f:2: warning: real server 10.0.0.1:8080: gate leaves"},
		{"fallback of another family", func(_ *config.Config, s *config.Service, _ *config.Real) {
			s.Fallback = &lvs.Destination{Addr: netip.MustParseAddrPort("[::1]:80"), Forward: lvs.DirectRoute}
			s.FallbackPlace = config.Place{File: "f", Line: 9}
		}, "f:9: fallback server ::1 and virtual service"},
		{"mode", func(c *config.Config, _ *config.Service, _ *config.Real) { c.Engine.Mode = "" }, `engine: unknown mode ""`},
		{"connections", func(c *config.Config, _ *config.Service, _ *config.Real) { c.Engine.Connections = 0 }, "engine: a table of 0 entries"},
		{"half open", func(c *config.Config, _ *config.Service, _ *config.Real) { c.Engine.HalfOpen = 1 << 30 }, "engine: a table of 1073741824 entries"},
		{"timeouts", func(c *config.Config, _ *config.Service, _ *config.Real) { c.Engine.Timeouts.UDP = time.Millisecond }, "engine: a timeout of 1ms"},
		{"interface", func(c *config.Config, _ *config.Service, _ *config.Real) { c.Engine.Interfaces = []string{"a b"} }, `engine: "a b" cannot be`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, s, r := valid()
			c.do(&cfg, s, r)
			problems := config.Validate(&cfg)
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), c.want) {
				t.Errorf("want %s…\nhave %v", c.want, problems)
			}
		})
	}
	c, _, _ := valid()
	if problems := config.Validate(&c); len(problems) != 0 {
		t.Errorf("the configuration without fault has %v", problems)
	}
}

// TestSettled: what Validate fills in and puts right.
func TestSettled(t *testing.T) {
	c, s, r := valid()
	s.Persistence = lvs.Persistence{Timeout: 300}
	r.Forward = lvs.DirectRoute
	s.Reals = append(s.Reals, *r, *r)
	s.Reals[1].Addr = netip.MustParseAddrPort("10.0.0.2:0")
	s.Reals[1].Forward = lvs.Masquerade
	s.Reals[2].Addr = netip.MustParseAddrPort("[::ffff:10.0.0.3]:80")
	mine := s.Reals
	config.Validate(&c)
	got := c.Services[0]
	if !got.Persistence.Whole() {
		t.Errorf("mask %s", got.Persistence.Mask)
	}
	for i, want := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
		if have := got.Reals[i].Addr.String(); have != want {
			t.Errorf("want %s, have %s", want, have)
		}
	}
	if k := got.Reals[0].Check.Value(); k.Port != 8080 || k.Request != "/" || k.Method != "GET" || k.ConnectTimeout != k.Timeout {
		t.Errorf("check %+v", k)
	}
	if got.Reals[1].Check.Value().Port != 0 {
		t.Error("a check of the service's port got a port of its own")
	}
	if mine[0].Addr.Port() != 8080 {
		t.Error("the slice of the caller was changed")
	}
}
