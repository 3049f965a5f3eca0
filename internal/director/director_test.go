package director

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// A bench is a director with everything around it faked, in fake time.
type bench struct {
	t       *testing.T
	plane   *memory.Plane
	d       *Director
	log     strings.Builder
	targets []lvs.Target
	wants   []netip.Addr
	stop    func()
	first   func(lvs.Target) // told of every target that is new; nil: nobody
}

// Set is the monitor: the first answer of a new target is always told.
func (b *bench) Set(ts []lvs.Target) {
	for _, t := range ts {
		known := slices.ContainsFunc(b.targets, func(o lvs.Target) bool {
			return o.Service == t.Service && o.Destination == t.Destination
		})
		if b.first != nil && !known {
			b.first(t)
		}
	}
	b.targets = ts
}

func (b *bench) Want(addrs []netip.Addr) { b.wants = addrs }

// start runs a director on dp, or on a plane of its own. Call it in a bubble.
func start(t *testing.T, plane *memory.Plane, dp dataplane.Dataplane) *bench {
	b := &bench{t: t, plane: plane}
	if dp == nil {
		dp = plane
	}
	return b.run(Options{Plane: dp})
}

// startWith runs a director that remembers.
func startWith(t *testing.T, plane *memory.Plane, j Journal, m *plan.Memory) *bench {
	b := &bench{t: t, plane: plane}
	return b.run(Options{Plane: plane, Journal: j, Remembered: m})
}

func (b *bench) run(o Options) *bench {
	t := b.t
	o.Describe, o.Monitor, o.Watcher = b.plane.Plane, b, b
	o.Log = slog.New(slog.NewTextHandler(&b.log, nil))
	b.d = New(o)
	ctx, cancel := contextWithCancel(t)
	done := make(chan error, 1)
	go func() { done <- b.d.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	return b
}

func (b *bench) table() string {
	var lines []string
	for s := range b.plane.Installed(b.t.Context()) {
		for _, d := range s.Destinations {
			lines = append(lines, fmt.Sprintf("%s=%d", d.Addr, d.Weight))
		}
	}
	return strings.Join(lines, " ")
}

func (b *bench) want(want string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.table(); got != want {
		b.t.Errorf("table %q, want %q", got, want)
	}
}

var (
	web  = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")}
	one  = netip.MustParseAddrPort("10.0.0.1:80")
	two  = netip.MustParseAddrPort("10.0.0.2:80")
	sad  = netip.MustParseAddrPort("127.0.0.1:80")
	here = lvs.Network{Links: []lvs.Link{{Index: 2, Name: "eth0"}}}
)

func real(at netip.AddrPort) config.Real {
	return config.Real{Destination: lvs.Destination{Addr: at, Weight: 1},
		Check: config.CheckOf(lvs.Check{Kind: lvs.CheckConnect, Interval: 5 * time.Second, Timeout: 3 * time.Second, Fall: 1, Rise: 1})}
}

func webs(quiescent bool, reals ...config.Real) config.Config {
	return config.Config{Services: []config.Service{{Key: web, Scheduler: lvs.WLC, Quiescent: quiescent,
		Reals: reals, Fallback: &lvs.Destination{Addr: sad}}}}
}

func (b *bench) judge(at netip.AddrPort, up bool) {
	v := lvs.Verdict{Service: web, Destination: at, Up: up, At: time.Now()}
	if !up {
		v.Reason, v.Why = lvs.ReasonRefused, "connection refused"
	}
	b.d.Judge(v)
}

func (b *bench) kinds() (out []string) {
	for _, e := range b.d.Events(time.Time{}) {
		out = append(out, e.Kind)
	}
	return out
}

func TestNothingIsTouchedBeforeTheFirstConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := memory.New()
		old := lvs.Service{Key: web, Scheduler: lvs.WLC, Destinations: []lvs.Destination{{Addr: one, Weight: 1}}}
		if err := plane.Put(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		b := start(t, plane, nil)
		defer b.stop()
		b.d.Reach(here)
		b.judge(one, false)
		time.Sleep(time.Hour)
		b.want("10.0.0.1:80=1")
		if plane.Writes() != 1 || len(plane.Network().Links) != 0 || b.d.Snapshot().Configured {
			t.Errorf("touched: %d writes, network %v", plane.Writes(), plane.Network())
		}
	})
}

func TestAServersLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		done := b.d.Configure(webs(true, real(one), real(two)), "weir.yaml")
		b.want("10.0.0.2:80=0 10.0.0.1:80=0") // no traffic before the first check, no sorry server yet
		select {
		case err := <-done:
			t.Fatalf("applied before the network was known: %v", err)
		default:
		}
		b.d.Reach(here)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.judge(one, true)
		b.want("10.0.0.2:80=0 10.0.0.1:80=1")
		b.judge(two, true)
		b.want("10.0.0.2:80=1 10.0.0.1:80=1")
		b.judge(two, false)
		b.judge(one, false)
		b.want("127.0.0.1:80=1 10.0.0.2:80=0 10.0.0.1:80=0")
		b.judge(two, true)
		b.want("10.0.0.2:80=1 10.0.0.1:80=0")
		want := []string{"configuration", "destination-up", "destination-up", "destination-down",
			"destination-down", "fallback-on", "destination-up", "fallback-off"}
		if got := b.kinds(); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		if n := strings.Count(b.log.String(), "destination changed"); n != 5 {
			t.Errorf("%d lines for 5 changes of mind:\n%s", n, b.log.String())
		}
		h := b.d.Snapshot().Health.At(web).At(one)
		if h.Up || h.Why != "connection refused" || h.Reason != lvs.ReasonRefused {
			t.Errorf("health %+v", h)
		}
		if len(b.targets) != 2 || !slices.Equal(b.wants, []netip.Addr{one.Addr(), two.Addr(), sad.Addr()}) {
			t.Errorf("told targets %v, addresses %v", b.targets, b.wants)
		}
	})
}

func TestTheSorryServerWaitsForFirstAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Configure(webs(false, real(one)), "f")
		time.Sleep(7 * time.Second)
		b.want("")
		time.Sleep(2 * time.Second) // interval and timeout have passed without an answer
		b.want("127.0.0.1:80=1")
	})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Configure(webs(false, real(one)), "f")
		b.want("")
		b.judge(one, false)
		b.want("127.0.0.1:80=1")
	})
}

func TestAdoption(t *testing.T) {
	tests := []struct {
		name      string
		installed []lvs.Destination
		want      string
		events    int // configuration, and an answer that is news
	}{
		{"serving servers stay up, unknown ones go, new ones wait",
			[]lvs.Destination{{Addr: netip.MustParseAddrPort("10.9.9.9:80"), Weight: 1}, {Addr: one, Weight: 1}},
			"10.0.0.2:80=0 10.0.0.1:80=1", 1},
		{"a standing sorry server stays", []lvs.Destination{{Addr: sad, Weight: 1}, {Addr: two}, {Addr: one}},
			"127.0.0.1:80=1 10.0.0.2:80=0 10.0.0.1:80=0", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane := memory.New()
				old := lvs.Service{Key: web, Scheduler: lvs.WLC, Destinations: tt.installed}
				gone := lvs.Service{Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}}
				_ = errors.Join(plane.Put(t.Context(), old), plane.Put(t.Context(), gone))
				b := start(t, plane, nil)
				defer b.stop()
				b.d.Reach(here)
				b.d.Configure(webs(true, real(one), real(two)), "f")
				b.want(tt.want)
				b.d.Judge(lvs.Verdict{Service: web, Destination: one, Up: b.d.Snapshot().Health.At(web).At(one).Up, At: time.Now()})
				b.want(tt.want)
				if got := b.kinds(); len(got) != tt.events {
					t.Errorf("events %v, want %d", got, tt.events)
				}
				if _, err := find(plane, gone.Key); err == nil {
					t.Error("a service the file does not have still stands")
				}
			})
		})
	}
}

func TestTheSameFileWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(webs(true, real(one), real(two)), "f")
		b.judge(one, true)
		b.judge(two, false)
		synctest.Wait()
		before := b.plane.Writes()
		for range 50 {
			if err := <-b.d.Configure(webs(true, real(one), real(two)), "f"); err != nil {
				t.Fatal(err)
			}
		}
		b.want("10.0.0.2:80=0 10.0.0.1:80=1")
		if after := b.plane.Writes(); after != before {
			t.Errorf("%d writes", after-before)
		}
	})
}

func TestAVoidVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Configure(webs(false, real(one)), "f")
		b.want("")
		b.judge(one, true)
		b.want("10.0.0.1:80=1")
		b.d.Configure(webs(false, real(two)), "f")
		b.judge(one, true)
		b.want("")
		if h := b.d.Snapshot().Health.At(web); len(h) != 1 {
			t.Errorf("believed: %v", h)
		}
	})
}

func TestOneProblemIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := memory.New()
		var broken atomic.Bool
		broken.Store(true)
		b := start(t, plane, memory.Faulty{Dataplane: plane, Refuse: func(verb string) bool { return broken.Load() && verb == "put" }})
		defer b.stop()
		b.d.Reach(here)
		cfg := webs(true, real(one))
		cfg.Services[0].Fallback = nil
		err := <-b.d.Configure(cfg, "f")
		if !errors.Is(err, memory.ErrRefused) {
			t.Errorf("configure answered %v", err)
		}
		time.Sleep(time.Minute)
		if p := b.d.Snapshot().Problem; !strings.Contains(p, "-t 192.0.2.1:80") {
			t.Errorf("problem %q", p)
		}
		broken.Store(false)
		time.Sleep(lastRetry)
		b.want("10.0.0.1:80=0")
		if got, want := b.kinds(), []string{"problem", "problem-solved", "configuration"}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		if p := b.d.Snapshot().Problem; p != "" {
			t.Errorf("problem %q is still shown", p)
		}
	})
}

// A refused change may have been done all the same. If the wish goes back
// meanwhile, only a look at what is there tells that there is work to do.
func TestARefusedChangeThatWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := memory.New()
		var refuse atomic.Bool
		b := start(t, plane, memory.Faulty{Dataplane: plane,
			Refuse: func(verb string) bool { return verb == "put" && refuse.Swap(false) },
			Half:   func() bool { return true }})
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(webs(true, real(one), real(two)), "f")
		b.judge(one, true)
		b.want("10.0.0.2:80=0 10.0.0.1:80=1")
		refuse.Store(true)
		b.judge(two, true)
		b.want("10.0.0.2:80=1 10.0.0.1:80=1")
		b.judge(two, false)
		b.want("10.0.0.2:80=0 10.0.0.1:80=1")
	})
}

// TestItAlwaysArrives throws verdicts and configurations at a director whose
// data plane refuses three changes in ten, some of them halfway, and asks
// that the table is right in the end.
func TestItAlwaysArrives(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			dice, faults := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			plane := memory.New()
			b := start(t, plane, memory.Faulty{Dataplane: plane,
				Refuse: func(string) bool { return faults.IntN(10) < 3 },
				Half:   func() bool { return faults.IntN(2) == 0 }})
			defer b.stop()
			var mu sync.Mutex
			cfg, up := config.Config{}, map[netip.AddrPort]bool{}
			tell := func(t lvs.Target) {
				b.d.Judge(lvs.Verdict{Service: t.Service, Destination: t.Destination, Up: up[t.Destination], At: time.Now()})
			}
			b.first = func(t lvs.Target) {
				mu.Lock()
				defer mu.Unlock()
				tell(t)
			}
			b.d.Reach(here)
			for range 30 {
				if dice.IntN(4) == 0 {
					cfg = randomConfig(dice)
					b.d.Configure(cfg, "f")
				}
				time.Sleep(time.Duration(dice.IntN(300)) * time.Millisecond)
				synctest.Wait()
				mu.Lock()
				for _, t := range b.targets {
					if dice.IntN(3) == 0 {
						up[t.Destination] = !up[t.Destination]
						tell(t)
					}
				}
				mu.Unlock()
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			arrived(t, seed, b, cfg, up)
		})
	}
}

func randomConfig(dice *rand.Rand) config.Config {
	var cfg config.Config
	for i := range 3 {
		if dice.IntN(4) == 0 {
			continue
		}
		s := config.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(web.Addr.Addr(), uint16(80+i))},
			Scheduler: lvs.RR, Quiescent: dice.IntN(2) == 0, Fallback: &lvs.Destination{Addr: sad}}
		for j := range 4 {
			if dice.IntN(3) != 0 {
				r := real(netip.AddrPortFrom(one.Addr(), uint16(1000*i+j+1)))
				r.Weight = 1 + dice.IntN(3)
				s.Reals = append(s.Reals, r)
			}
		}
		cfg.Services = append(cfg.Services, s)
	}
	return cfg
}

// arrived compares the table with what plan says of the last configuration
// and the last verdicts, places in the lists aside.
func arrived(t *testing.T, seed uint64, b *bench, cfg config.Config, up map[netip.AddrPort]bool) {
	t.Helper()
	in := plan.Inputs{Config: cfg, Configured: true, Health: plan.Beliefs{}}
	for _, s := range cfg.Services {
		for _, r := range s.Reals {
			in.Health[s.Key] = in.Health[s.Key].With(r.Addr, lvs.Health{Checked: true, Up: up[r.Addr]})
		}
	}
	var have []lvs.Service
	for s := range b.plane.Installed(t.Context()) {
		have = append(have, s)
	}
	if steps := plan.Diff(have, plan.Desired(in)); len(steps) != 0 {
		t.Errorf("seed %d: still to do: %v", seed, steps)
	}
	if s := b.d.Snapshot(); s.Problem != "" || !slices.EqualFunc(slices.Collect(s.Installed.Values()), have, lvs.Service.Equal) {
		t.Errorf("seed %d: the snapshot says %v, problem %q; installed is %v", seed, s.Installed, s.Problem, have)
	}
	if len(b.plane.Network().Links) != 1 {
		t.Errorf("seed %d: the data plane never heard of the network", seed)
	}
}
