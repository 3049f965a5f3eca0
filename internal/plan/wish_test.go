package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

func file(ss ...config.Service) config.Config { return config.Config{Services: ss} }

func hand(kind lvs.ChangeKind, d ...lvs.Destination) lvs.Change {
	c := lvs.Change{Kind: kind, Service: lvs.Service{Key: web, Scheduler: lvs.RR}}
	if len(d) > 0 {
		c.Destination = d[0]
	}
	return c
}

// wished is a wish as ipvsadm lines, oldest destination first; a destination
// somebody asks is marked.
func wished(w Wish) string {
	var lines []string
	for _, s := range w.Services() {
		lines = append(lines, fmt.Sprintf("%s %s", s.Key, s.Scheduler))
		for _, r := range s.Reals {
			mark := ""
			if r.Check.Value().Asks() {
				mark = "?"
			}
			lines = append(lines, fmt.Sprintf("%s=%d%s", r.Addr.Addr(), r.Weight, mark))
		}
	}
	return strings.Join(lines, " ")
}

func TestReloadKeepsWhatWasDoneByHand(t *testing.T) {
	old := file(webs(false, false, checked(a, 1), checked(b, 1)))
	other := config.Service{Key: key("-t 192.0.2.9:80"), Scheduler: lvs.SH}
	tests := []struct {
		name string
		by   []lvs.Change
		new  config.Config
		want string
	}{
		{"the same file changes nothing", []lvs.Change{hand(lvs.EditDestination, dest(a, 7)), hand(lvs.EditService)}, old,
			"-t 192.0.2.1:80 rr 10.0.0.1=7? 10.0.0.2=1?"},
		{"another thing changes in the file", []lvs.Change{hand(lvs.EditDestination, dest(a, 7)), hand(lvs.DeleteDestination, dest(b, 0))},
			file(func() config.Service {
				s := webs(false, false, checked(a, 1), checked(b, 1), checked(c, 3))
				s.Scheduler = lvs.SED
				return s
			}()),
			"-t 192.0.2.1:80 sed 10.0.0.1=7? 10.0.0.3=3?"},
		{"that very thing changes in the file", []lvs.Change{hand(lvs.EditDestination, dest(a, 7)), hand(lvs.DeleteDestination, dest(b, 0))},
			file(webs(false, false, checked(a, 2), checked(b, 5))),
			"-t 192.0.2.1:80 wlc 10.0.0.1=2? 10.0.0.2=5?"},
		{"only the weight changes in the file", []lvs.Change{hand(lvs.EditDestination, func() lvs.Destination { d := dest(a, 7); d.Upper = 9; return d }())},
			file(webs(false, false, checked(a, 2), checked(b, 1))),
			"-t 192.0.2.1:80 wlc 10.0.0.1=2? 10.0.0.2=1?"},
		{"deleted by hand stays so", []lvs.Change{hand(lvs.DeleteService)}, file(webs(false, false, checked(a, 2), checked(b, 1))), ""},
		{"deleted by hand, the file changes the service", []lvs.Change{hand(lvs.DeleteService)},
			file(func() config.Service { s := webs(false, false, checked(a, 1)); s.Scheduler = lvs.LC; return s }()),
			"-t 192.0.2.1:80 lc 10.0.0.1=1?"},
		{"the file forgets it", []lvs.Change{hand(lvs.AddDestination, dest(c, 1))}, file(), ""},
		{"the file forgets a server", []lvs.Change{hand(lvs.AddDestination, dest(c, 1))}, file(webs(false, false, checked(b, 1))),
			"-t 192.0.2.1:80 wlc 10.0.0.2=1? 10.0.0.3=1"},
		{"the file learns what was added by hand", []lvs.Change{hand(lvs.AddDestination, dest(c, 1))},
			file(webs(false, false, checked(a, 1), checked(b, 1), checked(c, 9))),
			"-t 192.0.2.1:80 wlc 10.0.0.1=1? 10.0.0.2=1? 10.0.0.3=9?"},
		{"a new service of the file", nil, file(webs(false, false, checked(a, 1), checked(b, 1)), other),
			"-t 192.0.2.1:80 wlc 10.0.0.1=1? 10.0.0.2=1? -t 192.0.2.9:80 sh"},
		{"the file takes over a service made by hand", []lvs.Change{{Kind: lvs.AddService, Service: lvs.Service{Key: other.Key, Scheduler: lvs.DH}},
			{Kind: lvs.AddDestination, Service: lvs.Service{Key: other.Key}, Destination: dest(c, 4)}},
			file(webs(false, false, checked(a, 1), checked(b, 1)), func() config.Service { s := other; s.Reals = []config.Real{checked(a, 2)}; return s }()),
			"-t 192.0.2.1:80 wlc 10.0.0.1=1? 10.0.0.2=1? -t 192.0.2.9:80 sh 10.0.0.1=2? 10.0.0.3=4"},
		{"a checked server deleted and added by hand is checked", []lvs.Change{hand(lvs.DeleteDestination, dest(a, 0)), hand(lvs.AddDestination, dest(a, 6))}, old,
			"-t 192.0.2.1:80 wlc 10.0.0.2=1? 10.0.0.1=6?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := WishOf(old)
			for _, c := range tt.by {
				if err := w.Apply(c, WishOf(old)); err != nil {
					t.Fatal(err)
				}
			}
			w.Reload(old, tt.new)
			if got := wished(w); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if len(w.ByHand(w)) != 0 {
				t.Errorf("a wish differs from itself")
			}
		})
	}
	if got := wished(WishOf(old)); got != "-t 192.0.2.1:80 wlc 10.0.0.1=1? 10.0.0.2=1?" {
		t.Errorf("the old configuration was changed: %s", got)
	}
}

func TestApplyRefuses(t *testing.T) {
	six := func(d lvs.Destination) lvs.Destination { d.Addr = addr("[2001:db8::5]:80"); return d }
	at := func(s string) lvs.Destination { return dest(addr(s), 1) }
	head := func(kind lvs.ChangeKind, change func(*lvs.Service)) lvs.Change {
		c := hand(kind)
		c.Service.Key = key("-t 192.0.2.7:80")
		change(&c.Service)
		return c
	}
	for _, tt := range []struct {
		name string
		c    lvs.Change
		want error
	}{
		{"add what is there", hand(lvs.AddService), lvs.ErrServiceExists},
		{"it is there, and the scheduler is unknown", func() lvs.Change { c := hand(lvs.AddService); c.Service.Scheduler = "x"; return c }(), lvs.ErrServiceExists},
		{"edit nothing", head(lvs.EditService, func(*lvs.Service) {}), lvs.ErrNoService},
		{"delete nothing", head(lvs.DeleteService, func(*lvs.Service) {}), lvs.ErrNoService},
		{"scheduler", head(lvs.AddService, func(s *lvs.Service) { s.Scheduler = "bogus" }), lvs.ErrNoScheduler},
		{"engine", head(lvs.AddService, func(s *lvs.Service) { s.Persistence.Engine = "bogus" }), lvs.ErrNoScheduler},
		{"protocol", head(lvs.AddService, func(s *lvs.Service) { s.Key.Protocol = 1 }), lvs.ErrInvalid},
		{"mapped address", head(lvs.AddService, func(s *lvs.Service) { s.Key.Addr = addr("[::ffff:192.0.2.1]:80") }), lvs.ErrInvalid},
		{"mask of the other family", head(lvs.AddService, func(s *lvs.Service) {
			s.Persistence = lvs.Persistence{Timeout: 1, Mask: netip.MustParseAddr("ffff::")}
		}), lvs.ErrInvalid},
		{"destination without service", lvs.Change{Kind: lvs.AddDestination, Service: lvs.Service{Key: key("-f 3")}, Destination: dest(a, 1)}, lvs.ErrNoService},
		{"destination twice", hand(lvs.AddDestination, dest(a, 1)), lvs.ErrDestinationExists},
		{"edit no destination", hand(lvs.EditDestination, dest(c, 1)), lvs.ErrNoDestination},
		{"edit no destination at nobody's address", hand(lvs.EditDestination, dest(addr("255.255.255.255:80"), 1)), lvs.ErrNoDestination},
		{"delete no destination", hand(lvs.DeleteDestination, dest(c, 1)), lvs.ErrNoDestination},
		{"delete another port", hand(lvs.DeleteDestination, at("10.0.0.1:81")), lvs.ErrNoDestination},
		{"weight", hand(lvs.AddDestination, dest(c, -1)), lvs.ErrRange},
		{"thresholds", hand(lvs.AddDestination, func() lvs.Destination { d := dest(c, 1); d.Lower = 1; return d }()), lvs.ErrRange},
		{"family", hand(lvs.AddDestination, six(dest(c, 1))), lvs.ErrInvalid},
		{"gue without port", hand(lvs.AddDestination, lvs.Destination{Addr: c, Forward: lvs.Tunnel, Encap: lvs.Encap{Type: lvs.GUE}}), lvs.ErrInvalid},
		{"unspecified", hand(lvs.AddDestination, at("0.0.0.0:80")), lvs.ErrInvalid},
		{"multicast", hand(lvs.AddDestination, at("224.0.0.1:80")), lvs.ErrInvalid},
		{"broadcast", hand(lvs.AddDestination, at("255.255.255.255:80")), lvs.ErrInvalid},
		{"no address", hand(lvs.AddDestination, lvs.Destination{}), lvs.ErrInvalid},
	} {
		w := WishOf(file(webs(false, false, checked(a, 1))))
		before := wished(w)
		if err := w.Apply(tt.c, nil); !errors.Is(err, tt.want) || wished(w) != before {
			t.Errorf("%s: %v, and %s", tt.name, err, wished(w))
		}
	}
	w := WishOf(file(webs(false, true, checked(a, 1))))
	for _, d := range []lvs.Destination{at("127.0.0.1:99"), {Addr: addr("[2001:db8::5]:80"), Forward: lvs.Tunnel, Weight: 1 << 30}} {
		if err := w.Apply(hand(lvs.AddDestination, d), nil); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
	if err := w.Apply(hand(lvs.DeleteDestination, dest(sad, 1)), nil); err != nil || w[web].Fallback != nil {
		t.Errorf("the sorry server stays: %v", err)
	}
}

func TestOrdersShareNothing(t *testing.T) {
	os := Orders{}
	os.Set(lvs.Order{Service: web, Destination: a, Weight: 1})
	one := os[web]
	os.Set(lvs.Order{Service: web, Destination: b, Weight: 2})
	two := os[web]
	if got := os.Within(Wish{web: webs(false, false, checked(b, 1))}); len(got[web]) != 1 || got[web][b].Weight != 2 {
		t.Errorf("within: %v", got)
	}
	if len(os[web]) != 2 {
		t.Errorf("Within has changed %v", os)
	}
	os.Revoke(web, a)
	if len(one) != 1 || len(two) != 2 || len(os[web]) != 1 {
		t.Errorf("%v %v %v", one, two, os)
	}
	os.Revoke(web, b)
	if len(os) != 0 {
		t.Errorf("what is left: %v", os)
	}
}

func TestABookFollowsSteps(t *testing.T) {
	have := []lvs.Service{{Key: key("-t 192.0.2.1:80")}, {Key: key("-t 192.0.2.2:80")}}
	want := []lvs.Service{{Key: key("-t 192.0.2.2:80"), Scheduler: lvs.RR}, {Key: key("-f 1")}}
	book := BookOf(have)
	for _, s := range Diff(have, want) {
		book.Do(s)
	}
	got := book.Services()
	if !slices.EqualFunc(got, want, lvs.Service.Equal) {
		t.Errorf("%v", got)
	}
}
