package director

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

// TestPiecesMakeTheWhole: whatever happens, in whatever order, what was worked
// out service by service is what working out the whole table gives: what is
// wanted, what the data plane holds, what others are told, and what is shown.
func TestPiecesMakeTheWhole(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			dice, faults := rand.New(rand.NewPCG(seed, 3)), rand.New(rand.NewPCG(seed, 4))
			plane := memory.New()
			b := start(t, plane, memory.Faulty{Dataplane: plane,
				Refuse: func(string) bool { return seed%3 == 0 && faults.IntN(10) == 0 },
				Half:   func() bool { return faults.IntN(2) == 0 }})
			defer b.stop()
			b.d.Reach(here)
			b.d.Configure(randomTable(dice), "f")
			for range 60 {
				disturb(b, dice)
				time.Sleep(time.Duration(dice.IntN(3000)) * time.Millisecond)
				synctest.Wait()
				if why := b.inside((*mind).pieces); len(why) > 0 {
					t.Fatalf("seed %d: %v", seed, why)
				}
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			b.d.Judge(lvs.Verdict{}) // the loop comes round
			synctest.Wait()
			if why := append(b.inside((*mind).pieces), b.inside((*mind).done)...); len(why) > 0 {
				t.Fatalf("seed %d, in the end: %v", seed, why)
			}
		})
	}
}

// ask asks for changes and does not wait for the answers.
func (b *bench) ask(changes ...lvs.Change) {
	ctx := b.t.Context()
	go func() {
		if _, err := b.d.Change(ctx, nil, changes); err != nil && ctx.Err() == nil {
			b.t.Errorf("change: %v", err)
		}
	}()
}

// inside asks the loop itself, between two rounds.
func (b *bench) inside(ask func(*mind) []string) []string {
	answer := make(chan []string, 1)
	b.d.tell(func(m *mind) { answer <- ask(m) })
	return <-answer
}

func randomTable(dice *rand.Rand) config.Config {
	cfg := randomConfig(dice)
	for i := range cfg.Services {
		s := &cfg.Services[i]
		if dice.IntN(2) == 0 {
			s.Fallback = nil
		}
		for j := range s.Reals {
			switch dice.IntN(5) {
			case 0:
				s.Reals[j].Check = config.CheckOf(lvs.Check{Kind: lvs.CheckOn})
			case 1:
				s.Reals[j].Check = config.CheckOf(lvs.Check{Kind: lvs.CheckOff})
			}
		}
	}
	return cfg
}

// disturb does one thing of all that can happen to a director.
func disturb(b *bench, dice *rand.Rand) {
	k := lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(web.Addr.Addr(), uint16(80+dice.IntN(4)))}
	at := netip.AddrPortFrom(one.Addr(), uint16(1000*(int(k.Addr.Port())-80)+1+dice.IntN(5)))
	c := lvs.Change{Service: lvs.Service{Key: k, Scheduler: lvs.Schedulers[dice.IntN(4)]},
		Destination: lvs.Destination{Addr: at, Weight: dice.IntN(4), Forward: lvs.Masquerade}}
	kinds := []lvs.ChangeKind{lvs.AddService, lvs.EditService, lvs.DeleteService, lvs.AddDestination, lvs.EditDestination,
		lvs.DeleteDestination, lvs.OrderWeight, lvs.RevokeOrder}
	switch n := dice.IntN(20); {
	case n == 0:
		b.d.Configure(randomTable(dice), "f")
	case n == 1:
		c.Kind = lvs.ReplaceTable
		c.Table = []lvs.Service{{Key: k, Scheduler: lvs.RR, Destinations: []lvs.Destination{c.Destination}}}
		b.ask(c)
	case n == 2:
		b.ask(lvs.Change{Kind: lvs.ClearTable})
	case n < 8:
		b.d.Judge(lvs.Verdict{Service: k, Destination: at, Up: dice.IntN(2) == 0, At: time.Now()})
	default:
		many := make([]lvs.Change, 1+dice.IntN(3))
		for i := range many {
			many[i] = c
			many[i].Kind = kinds[dice.IntN(len(kinds))]
		}
		b.ask(many...)
	}
}

// pieces tells what differs from the whole.
func (m *mind) pieces() (why []string) {
	differ := func(what string, have, want any) {
		if h, w := fmt.Sprintf("%+v", have), fmt.Sprintf("%+v", want); h != w {
			why = append(why, fmt.Sprintf("%s: %s, want %s", what, h, w))
		}
	}
	s := m.d.Snapshot()
	differ("shown as wanted", maps.Collect(s.Wanted.All()), map[lvs.ServiceKey]lvs.Service(m.wanted))
	differ("shown as installed", maps.Collect(s.Installed.All()), map[lvs.ServiceKey]lvs.Service(m.found()))
	differ("shown health", maps.Collect(s.Health.All()), map[lvs.ServiceKey]lvs.Healths(m.in.Health))
	differ("shown orders", maps.Collect(s.Orders.All()), map[lvs.ServiceKey]map[netip.AddrPort]lvs.Order(m.in.Orders))
	differ("shown by hand", maps.Collect(s.ByHand.All()), m.byHand)
	differ("shown fallbacks", maps.Collect(s.Fallback.All()), m.fallback)
	if !m.read || m.todo.all || len(m.todo.keys) > 0 {
		return why // a refusal is still to be tried again
	}
	in := m.in
	in.Config.Services = m.wish.Services()
	differ("wanted", m.wanted.Services(), plan.Desired(in))
	differ("by hand", m.byHand, m.wish.ByHand(m.file))
	differ("believed", m.in.Health, plan.Believe(in.Config, m.in.Health, m.installed.Services()))
	fallback := map[lvs.ServiceKey]bool{}
	for _, c := range in.Config.Services {
		if plan.FallbackOn(in, c) {
			fallback[c.Key] = true
		}
	}
	differ("fallbacks", m.fallback, fallback)
	targets := func(ts []lvs.Target) (out []string) {
		for _, t := range ts {
			t.Up = false
			out = append(out, fmt.Sprint(t))
		}
		return out
	}
	told := m.d.o.Monitor.(*bench)
	differ("targets", targets(told.targets), targets(plan.Targets(in.Config, nil)))
	if want := plan.Addresses(in.Config); !slices.Equal(told.wants, want) {
		differ("addresses", told.wants, want)
	}
	return why
}

// done tells what is not as it is wanted.
func (m *mind) done() (why []string) {
	for _, s := range plan.Diff(m.installed.Services(), m.wanted.Services()) {
		why = append(why, "still to do: "+s.String())
	}
	return why
}

// TestAChangeTouchesOneService counts instead of timing: one change among many
// services plans, compares and writes one.
func TestAChangeTouchesOneService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		var cfg config.Config
		for i := range 1000 {
			cfg.Services = append(cfg.Services, config.Service{Scheduler: lvs.RR, Reals: []config.Real{real(one)},
				Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(web.Addr.Addr(), uint16(i+1))}})
		}
		b.d.Reach(here)
		<-b.d.Configure(cfg, "f")
		k := cfg.Services[500].Key
		for name, c := range map[string]func(){
			"a verdict": func() { b.d.Judge(lvs.Verdict{Service: k, Destination: one, Up: true, At: time.Now()}) },
			"an order": func() {
				b.ask(lvs.Change{Kind: lvs.OrderWeight, Service: lvs.Service{Key: k}, Destination: lvs.Destination{Addr: one, Weight: 7}})
			},
			"a hand": func() {
				b.ask(lvs.Change{Kind: lvs.AddDestination, Service: lvs.Service{Key: k}, Destination: lvs.Destination{Addr: two, Weight: 7, Forward: lvs.Masquerade}})
			},
		} {
			synctest.Wait()
			var touched dirt
			b.d.tell(func(*mind) { c() })
			b.d.tell(func(m *mind) { touched = m.unseen })
			synctest.Wait()
			b.d.tell(func(m *mind) {
				if touched.all || m.todo.all || len(m.todo.keys) > 0 {
					t.Errorf("%s touched everything, or was not done: %v", name, touched)
				}
			})
			synctest.Wait()
		}
	})
}
