package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

var (
	web  = key("-t 192.0.2.1:80")
	a, b = addr("10.0.0.1:80"), addr("10.0.0.2:80")
	c    = addr("10.0.0.3:80")
	sad  = addr("127.0.0.1:80")
)

func key(s string) lvs.ServiceKey {
	k, err := lvs.ParseServiceKey(s)
	if err != nil {
		panic(err)
	}
	return k
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func dest(at netip.AddrPort, w int) lvs.Destination {
	return lvs.Destination{Addr: at, Forward: lvs.Masquerade, Weight: w}
}

// checked is a real server with an HTTP check.
func checked(at netip.AddrPort, w int) config.Real {
	return config.Real{Destination: dest(at, w), Check: config.CheckOf(lvs.Check{Kind: lvs.CheckHTTP,
		Interval: 5 * time.Second, Timeout: 3 * time.Second})}
}

func webs(quiescent, fallback bool, reals ...config.Real) config.Service {
	s := config.Service{Key: web, Scheduler: lvs.WLC, Quiescent: quiescent, Reals: reals}
	if fallback {
		s.Fallback = &lvs.Destination{Addr: sad, Forward: lvs.DirectRoute, Weight: 9}
	}
	return s
}

func health(up ...netip.AddrPort) Beliefs {
	var hs lvs.Healths
	for _, x := range []netip.AddrPort{a, b, c} {
		hs = hs.With(x, lvs.Health{Checked: true, Up: slices.Contains(up, x)})
	}
	return Beliefs{web: hs}
}

func table(ss []lvs.Service) string {
	var lines []string
	for _, s := range ss {
		lines = append(lines, s.String())
		for _, d := range s.Destinations {
			lines = append(lines, d.String())
		}
	}
	return strings.Join(lines, "\n")
}

func TestDesired(t *testing.T) {
	const head = "-A -t 192.0.2.1:80 -s wlc"
	tests := []struct {
		name string
		in   Inputs
		want []string
	}{
		{"nothing before the first configuration",
			Inputs{Config: config.Config{Services: []config.Service{webs(true, true, checked(a, 1))}}}, nil},
		{"all down, quiescent: the fallback stands at the head with weight 1 and its own method",
			in(webs(true, true, checked(a, 1), checked(b, 2)), health()),
			[]string{head, "-r 127.0.0.1:80 -g -w 1", "-r 10.0.0.2:80 -m -w 0", "-r 10.0.0.1:80 -m -w 0"}},
		{"all down, removed",
			in(webs(false, true, checked(a, 1)), health()), []string{head, "-r 127.0.0.1:80 -g -w 1"}},
		{"all down, no fallback", in(webs(false, false, checked(a, 1)), health()), []string{head}},
		{"one up: no fallback, last in the file is first in the list",
			in(webs(true, true, checked(a, 3), checked(b, 2)), health(a)),
			[]string{head, "-r 10.0.0.2:80 -m -w 0", "-r 10.0.0.1:80 -m -w 3"}},
		{"an up server of weight 0 keeps the fallback away",
			in(webs(true, true, checked(a, 0)), health(a)), []string{head, "-r 10.0.0.1:80 -m -w 0"}},
		{"an order beats the verdict",
			ordered(in(webs(false, true, checked(a, 1)), health()), a, 7), []string{head, "-r 10.0.0.1:80 -m -w 7"}},
		{"an order of 0 beats the configuration",
			ordered(in(webs(false, false, checked(a, 5)), health(a)), a, 0), []string{head, "-r 10.0.0.1:80 -m -w 0"}},
		{"the fallback takes the place of a quiesced server of its address",
			in(webs(true, true, checked(sad, 1)), Beliefs{web: {{Addr: sad, Health: lvs.Health{Checked: true}}}}),
			[]string{head, "-r 127.0.0.1:80 -g -w 1"}},
		{"waiting for first answers: no fallback yet",
			waiting(in(webs(true, true, checked(a, 1)), Beliefs{})), []string{head, "-r 10.0.0.1:80 -m -w 0"}},
		{"waiting, but everything has answered",
			waiting(in(webs(false, true, checked(a, 1)), health())), []string{head, "-r 127.0.0.1:80 -g -w 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := table(Desired(tt.in)); got != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(tt.want, "\n"))
			}
		})
	}
}

func in(s config.Service, b Beliefs) Inputs {
	return Inputs{Configured: true, Health: b, Config: config.Config{Services: []config.Service{s}}}
}

func ordered(in Inputs, at netip.AddrPort, w int) Inputs {
	in.Orders = Orders{web: {at: {Weight: w}}}
	return in
}

func waiting(in Inputs) Inputs {
	in.Waiting = map[lvs.ServiceKey]bool{web: true}
	return in
}

func TestOrder(t *testing.T) {
	list := func(as ...netip.AddrPort) (ds []lvs.Destination) {
		for _, x := range as {
			ds = append(ds, dest(x, 1))
		}
		return ds
	}
	tests := []struct {
		name             string
		have, want, then []lvs.Destination
	}{
		{"empty", nil, nil, nil},
		{"first time: as wanted", nil, list(c, b, a), list(c, b, a)},
		{"the file was shuffled: nobody moves", list(c, b, a), list(a, c, b), list(c, b, a)},
		{"one returns: it goes to the head", list(c, a), list(c, b, a), list(b, c, a)},
		{"one leaves", list(c, b, a), list(c, a), list(c, a)},
		{"two new ones stand as wanted", list(a), list(c, b, a), list(c, b, a)},
	}
	for _, tt := range tests {
		if got := Order(tt.have, tt.want); !slices.Equal(got, tt.then) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.then)
		}
	}
	quiet := []lvs.Destination{dest(c, 1), dest(b, 0), dest(a, 1)}
	if got := Order(list(c, b, a), quiet); !slices.Equal(got, quiet) {
		t.Errorf("quiesced: got %v, want %v", got, quiet)
	}
}

func svc(k string, ds ...lvs.Destination) lvs.Service {
	return lvs.Service{Key: key(k), Scheduler: lvs.RR, Destinations: ds}
}

func TestDiff(t *testing.T) {
	wlc := svc("-t 192.0.2.1:80", dest(a, 1))
	wlc.Scheduler = lvs.WLC
	tests := []struct {
		name       string
		have, want []lvs.Service
		lines      []string
	}{
		{"same", []lvs.Service{svc("-t 192.0.2.1:80", dest(a, 1), dest(b, 1))},
			[]lvs.Service{svc("-t 192.0.2.1:80", dest(b, 1), dest(a, 1))}, nil},
		{"new, oldest destination first", nil, []lvs.Service{svc("-t 192.0.2.1:80", dest(b, 1), dest(a, 2))},
			[]string{"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 2", "-a -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 1"}},
		{"specific before general, then gone the other way round",
			[]lvs.Service{svc("-t 192.0.2.9:80"), svc("-t 192.0.2.9:0"), svc("-f 3")},
			[]lvs.Service{svc("-f 2"), svc("-t 192.0.2.1:0"), svc("-t 192.0.2.1:80")},
			[]string{"-A -t 192.0.2.1:80 -s rr", "-A -t 192.0.2.1:0 -s rr", "-A -f 2 -s rr",
				"-D -f 3", "-D -t 192.0.2.9:0", "-D -t 192.0.2.9:80"}},
		{"scheduler", []lvs.Service{svc("-t 192.0.2.1:80", dest(a, 1))}, []lvs.Service{wlc}, []string{"-E -t 192.0.2.1:80 -s wlc"}},
		{"added and changed before gone", []lvs.Service{svc("-t 192.0.2.1:80", dest(b, 1), dest(a, 1))},
			[]lvs.Service{svc("-t 192.0.2.1:80", dest(c, 1), dest(b, 0))},
			[]string{"-a -t 192.0.2.1:80 -r 10.0.0.3:80 -m -w 1", "-e -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 0", "-d -t 192.0.2.1:80 -r 10.0.0.1:80"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, s := range Diff(tt.have, tt.want) {
				lines = append(lines, s.Lines()...)
			}
			if !slices.Equal(lines, tt.lines) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(tt.lines, "\n"))
			}
		})
	}
}

func TestDiffReturningServerGoesToTheHead(t *testing.T) {
	have := []lvs.Service{svc("-t 192.0.2.1:80", dest(c, 1), dest(a, 1))}
	want := []lvs.Service{svc("-t 192.0.2.1:80", dest(c, 1), dest(b, 1), dest(a, 1))}
	steps := Diff(have, want)
	if len(steps) != 1 || steps[0].Service.Destinations[0].Addr != b {
		t.Fatalf("got %v", steps)
	}
	if again := Diff([]lvs.Service{steps[0].Service}, want); len(again) != 0 {
		t.Errorf("a second time there is still work: %v", again)
	}
}
