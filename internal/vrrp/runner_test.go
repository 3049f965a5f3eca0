package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A segment is an air in memory that loses and delays.
type segment struct {
	mu    sync.Mutex
	seats map[netip.Addr]*seat
	loss  float64
	delay time.Duration
	cut   func(from, to netip.Addr) bool // nil: nobody is
	rng   *rand.Rand
}

// A seat is one director on the segment.
type seat struct {
	on     *segment
	addr   netip.Addr
	runner *Runner
	roles  map[string]lvs.RouterRole
	told   []string
	stop   func()
	ended  sync.WaitGroup
}

func (s *seat) Send(p Packet) error {
	on := s.on
	on.mu.Lock()
	defer on.mu.Unlock()
	p.Payload = append([]byte(nil), p.Payload...)
	for addr, other := range on.seats {
		if other == s || !p.To.IsMulticast() && p.To != addr || on.cut != nil && on.cut(s.addr, addr) || on.rng.Float64() < on.loss {
			continue
		}
		late := time.Duration(on.rng.Int64N(int64(on.delay) + 1))
		time.AfterFunc(late, func() { other.runner.Receive(p) })
	}
	return nil
}

func newSegment() *segment {
	return &segment{seats: map[netip.Addr]*seat{}, rng: rand.New(rand.NewPCG(1, 2))}
}

var upAndRunning = func(a netip.Addr) map[string]Link {
	l := Link{Up: true, Source: map[lvs.Family]netip.Addr{lvs.IPv4: a}, Addrs: []netip.Addr{a}}
	return map[string]Link{"eth0": l, "eth1": l}
}

func (on *segment) sit(addr netip.Addr, routers ...lvs.Router) *seat {
	s := &seat{on: on, addr: addr, roles: map[string]lvs.RouterRole{}}
	s.runner = NewRunner(Options{Air: s, Log: slog.New(slog.DiscardHandler), Told: func(r lvs.RouterRole) {
		on.mu.Lock()
		defer on.mu.Unlock()
		s.roles[r.Router.Name] = r
		s.told = append(s.told, r.Router.Name+" "+string(r.State))
	}})
	on.mu.Lock()
	on.seats[addr] = s
	on.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	s.ended.Go(func() { _ = s.runner.Run(ctx) })
	s.stop = func() { cancel(); s.ended.Wait() }
	s.runner.Set(routers)
	s.runner.Links(upAndRunning(addr))
	return s
}

func (s *seat) is(name string) lvs.RouterState {
	s.on.mu.Lock()
	defer s.on.mu.Unlock()
	return s.roles[name].State
}

// kill takes a seat away without a word.
func (s *seat) kill() {
	s.on.mu.Lock()
	s.on.cut = func(from, to netip.Addr) bool { return from == s.addr || to == s.addr }
	s.on.mu.Unlock()
}

func router(name string, priority uint8) lvs.Router {
	return lvs.Router{Name: name, Interface: "eth0", ID: 7, Version: 3, Priority: priority, Interval: 100 * time.Millisecond, Preempt: true,
		Addresses: []lvs.HeldAddress{{Prefix: netip.PrefixFrom(vip, 24)}}}
}

func play(t *testing.T, f func(t *testing.T, on *segment)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		on := newSegment()
		defer func() {
			for _, s := range on.seats {
				s.stop()
			}
		}()
		f(t, on)
	})
}

func states(t *testing.T, when string, want string, seats ...*seat) {
	t.Helper()
	synctest.Wait()
	got := ""
	for _, s := range seats {
		got += fmt.Sprintf("%s ", s.is("a"))
	}
	if got != want+" " {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

func TestElectionFailoverReturn(t *testing.T) {
	play(t, func(t *testing.T, on *segment) {
		a, b := on.sit(left, router("a", 150)), on.sit(right, router("a", 100))
		time.Sleep(500 * time.Millisecond)
		states(t, "election", "active backup", a, b)
		if who := b.runner.Roles()[0].Active; who != left {
			t.Errorf("the backup takes %s for the active one", who)
		}
		a.kill()
		time.Sleep(290 * time.Millisecond)
		states(t, "too early", "active backup", a, b)
		time.Sleep(200 * time.Millisecond)
		states(t, "killed", "active active", a, b)
		on.mu.Lock()
		on.cut = nil
		on.mu.Unlock()
		time.Sleep(110 * time.Millisecond) // one interval: split brain is over
		states(t, "healed", "active backup", a, b)
		a.stop()
		time.Sleep(100 * time.Millisecond) // priority 0: no more than the skew
		states(t, "ended", "init active", a, b)
	})
}

func TestHandover(t *testing.T) {
	play(t, func(t *testing.T, on *segment) {
		a, b := on.sit(left, router("a", 150)), on.sit(right, router("a", 100))
		time.Sleep(time.Second)
		if err := b.runner.Yield(t.Context(), "a"); err == nil {
			t.Error("a backup hands over")
		}
		if err := a.runner.Yield(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		states(t, "handed over", "backup active", a, b)
		time.Sleep(time.Minute)
		states(t, "it stays so", "backup active", a, b)
		b.kill()
		time.Sleep(500 * time.Millisecond)
		states(t, "and comes back when nobody is there", "active active", a, b)
	})
}

func TestPriorityThatFalls(t *testing.T) {
	play(t, func(t *testing.T, on *segment) {
		a, b := on.sit(left, router("a", 150)), on.sit(right, router("a", 100))
		time.Sleep(time.Second)
		a.runner.Track("a", Tracked{Delta: -60})
		time.Sleep(time.Second)
		states(t, "90 of 150 are left", "backup active", a, b)
		a.runner.Track("a", Tracked{})
		time.Sleep(time.Second)
		states(t, "whole again", "active backup", a, b)
		a.runner.Track("a", Tracked{Fault: "its check failed"})
		time.Sleep(100 * time.Millisecond)
		states(t, "at fault", "fault active", a, b)
		if why := a.runner.Roles()[0].Why; why != "its check failed" {
			t.Errorf("the reason is %q", why)
		}
	})
}

// grouped are two routers that move together.
func grouped(priority uint8) []lvs.Router {
	a, b := router("a", priority), router("b", priority)
	a.Group, b.Group, b.Interface = "both", "both", "eth1"
	return []lvs.Router{a, b}
}

func TestGroupMovesTogether(t *testing.T) {
	play(t, func(t *testing.T, on *segment) {
		a, b := on.sit(left, grouped(150)...), on.sit(right, grouped(100)...)
		time.Sleep(2 * time.Second)
		both := func(when string, want lvs.RouterState, s *seat) {
			t.Helper()
			synctest.Wait()
			if s.is("a") != want || s.is("b") != want {
				t.Errorf("%s: %s %s, want %s", when, s.is("a"), s.is("b"), want)
			}
		}
		both("election", lvs.RouterActive, a)
		both("election", lvs.RouterBackup, b)
		links := upAndRunning(left)
		links["eth1"] = Link{}
		a.runner.Links(links)
		time.Sleep(300 * time.Millisecond)
		both("one link is down", lvs.RouterFault, a)
		both("one link is down", lvs.RouterActive, b)
		a.runner.Links(upAndRunning(left))
		time.Sleep(2 * time.Second)
		both("it is up again", lvs.RouterActive, a)
		both("it is up again", lvs.RouterBackup, b)
	})
}

// A lossy, slow segment may move the addresses, but in the end one holds them.
func TestLossAndDelay(t *testing.T) {
	for seed := range uint64(20) {
		play(t, func(t *testing.T, on *segment) {
			on.rng, on.loss, on.delay = rand.New(rand.NewPCG(seed, 0)), 0.4, 150*time.Millisecond
			a, b, c := on.sit(left, router("a", 100)), on.sit(right, router("a", 100)), on.sit(right.Next(), router("a", 20))
			time.Sleep(time.Minute)
			on.mu.Lock()
			on.loss, on.delay = 0, time.Millisecond
			on.mu.Unlock()
			time.Sleep(time.Second)
			// Two have the same priority and a third preempts nobody: whoever of
			// the two is active then stays, and is the only one.
			synctest.Wait()
			if n := count(lvs.RouterActive, a, b, c); n != 1 || c.is("a") == lvs.RouterActive {
				t.Errorf("seed %d: %d are active: %s %s %s", seed, n, a.is("a"), b.is("a"), c.is("a"))
			}
		})
	}
}

func count(want lvs.RouterState, seats ...*seat) (n int) {
	for _, s := range seats {
		if s.is("a") == want {
			n++
		}
	}
	return n
}

// One way of a segment is broken: the active router is heard, but hears nobody.
func TestOneWayLoss(t *testing.T) {
	play(t, func(t *testing.T, on *segment) {
		a, b := on.sit(left, router("a", 150)), on.sit(right, router("a", 100))
		time.Sleep(time.Second)
		on.mu.Lock()
		on.cut = func(from, _ netip.Addr) bool { return from == right }
		on.mu.Unlock()
		time.Sleep(10 * time.Second)
		states(t, "the active one is deaf", "active backup", a, b)
	})
}

func TestReload(t *testing.T) {
	play(t, func(t *testing.T, on *segment) {
		a, b := on.sit(left, router("a", 150)), on.sit(right, router("a", 100))
		time.Sleep(time.Second)
		more := router("a", 150)
		more.Also = []lvs.HeldAddress{{Prefix: netip.MustParsePrefix("10.9.9.9/32")}}
		on.mu.Lock()
		a.told = nil
		on.mu.Unlock()
		a.runner.Set([]lvs.Router{more})
		time.Sleep(time.Second)
		states(t, "an address more", "active backup", a, b)
		if got := len(a.runner.Roles()[0].Router.Held()); got != 2 {
			t.Errorf("%d addresses are held, want 2", got)
		}
		if len(a.told) != 1 {
			t.Errorf("told %v, want its addresses once", a.told)
		}
		other := router("a", 150)
		other.ID = 8
		a.runner.Set([]lvs.Router{other})
		time.Sleep(time.Second)
		states(t, "another router", "active active", a, b)
		a.runner.Set(nil)
		time.Sleep(time.Second)
		states(t, "none", "init active", a, b)
	})
}

func TestWhatIsNotBelieved(t *testing.T) {
	c := router("a", 100)
	old := c
	old.Version, old.Password, old.Interval = 2, "secret", time.Second
	peers := c
	peers.Peers = []netip.Addr{right}
	good := Packet{From: right, To: Group4, TTL: TTL}
	for name, test := range map[string]struct {
		c    lvs.Router
		p    Packet
		a    Advert
		good bool
	}{
		"all is well":           {c, good, Advert{Version: 3}, true},
		"a router forwarded it": {c, Packet{From: right, To: Group4, TTL: 254}, Advert{Version: 3}, false},
		"to us alone":           {c, Packet{From: right, To: left, TTL: TTL}, Advert{Version: 3}, false},
		"another version":       {c, good, Advert{Version: 2}, false},
		"password":              {old, good, Advert{Version: 2, Password: "secret", Interval: time.Second}, true},
		"no password":           {old, good, Advert{Version: 2, Interval: time.Second}, false},
		"another password":      {old, good, Advert{Version: 2, Password: "secreu", Interval: time.Second}, false},
		"another interval":      {old, good, Advert{Version: 2, Password: "secret", Interval: 2 * time.Second}, false},
		"a peer":                {peers, Packet{From: right, To: left, TTL: 64}, Advert{Version: 3}, true},
		"a stranger":            {peers, Packet{From: vip, To: left, TTL: TTL}, Advert{Version: 3}, false},
	} {
		if why := unfit(test.c, test.p, test.a); (why == "") != test.good {
			t.Errorf("%s: %q", name, why)
		}
	}
}
