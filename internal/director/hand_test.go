package director

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

func (b *bench) change(cs ...lvs.Change) []error {
	b.t.Helper()
	errs, err := b.d.Change(b.t.Context(), nil, cs)
	if err != nil {
		b.t.Fatal(err)
	}
	return errs
}

func (b *bench) good(cs ...lvs.Change) {
	b.t.Helper()
	for i, err := range b.change(cs...) {
		if err != nil {
			b.t.Errorf("%s: %v", cs[i], err)
		}
	}
}

func by(kind lvs.ChangeKind, at netip.AddrPort, weight int) lvs.Change {
	return lvs.Change{Kind: kind, Service: lvs.Service{Key: web, Scheduler: lvs.RR},
		Destination: lvs.Destination{Addr: at, Weight: weight}}
}

func TestChangesByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(config.Config{}, "f")
		b.good(by(lvs.AddService, one, 0), by(lvs.AddDestination, one, 1), by(lvs.AddDestination, two, 2))
		b.want("10.0.0.2:80=2 10.0.0.1:80=1")
		// Removed and added again in one go, it stands at the head.
		b.good(by(lvs.DeleteDestination, one, 0), by(lvs.AddDestination, one, 3))
		b.want("10.0.0.1:80=3 10.0.0.2:80=2")
		errs := b.change(by(lvs.AddDestination, one, 1), by(lvs.EditDestination, two, 9), by(lvs.AddService, one, 0))
		if !errors.Is(errs[0], lvs.ErrDestinationExists) || errs[1] != nil || !errors.Is(errs[2], lvs.ErrServiceExists) {
			t.Errorf("%v", errs)
		}
		b.want("10.0.0.1:80=3 10.0.0.2:80=9")
		writes := b.plane.Writes()
		b.good(by(lvs.ClearTable, one, 0), by(lvs.AddService, one, 0), by(lvs.AddDestination, one, 3))
		b.want("10.0.0.1:80=3")
		if n := b.plane.Writes() - writes; n != 2 {
			t.Errorf("%d writes: a service that is cleared and made again is another one", n)
		}
		b.good(lvs.Change{Kind: lvs.SetTimeouts, Timeouts: lvs.Timeouts{UDP: time.Minute}})
		if got := b.plane.Timeouts(); got.UDP != time.Minute || b.d.Snapshot().Timeouts != got {
			t.Errorf("timeouts %v", got)
		}
		if got := b.d.Snapshot().ByHand; got.At(web) != lvs.HandAdded {
			t.Errorf("by hand: %v", got)
		}
		if !strings.Contains(b.log.String(), "table changed by hand") {
			t.Error("nothing in the log")
		}
	})
}

func TestHandAndHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Reach(here)
		cfg := webs(false, real(one), real(two))
		cfg.Services[0].Fallback = nil
		<-b.d.Configure(cfg, "f")
		b.judge(one, true)
		b.want("10.0.0.1:80=1")
		// two is asked for and left out: to ipvsadm it is not there.
		errs := b.change(by(lvs.EditDestination, two, 5), by(lvs.DeleteDestination, two, 0))
		if !errors.Is(errs[0], lvs.ErrNoDestination) || !errors.Is(errs[1], lvs.ErrNoDestination) {
			t.Errorf("left out: %v", errs)
		}
		b.good(by(lvs.AddDestination, two, 5))
		b.want("10.0.0.2:80=5 10.0.0.1:80=1")
		b.judge(two, false)
		b.want("10.0.0.1:80=1")
		b.judge(two, true)
		b.want("10.0.0.2:80=5 10.0.0.1:80=1")
		// An order beats verdicts, until it is revoked or an edit comes later.
		b.good(by(lvs.OrderWeight, one, 0))
		b.judge(one, false)
		b.want("10.0.0.2:80=5 10.0.0.1:80=0")
		b.good(by(lvs.RevokeOrder, one, 0))
		b.want("10.0.0.2:80=5")
		b.judge(one, true)
		b.good(by(lvs.OrderWeight, one, 0), by(lvs.EditDestination, one, 4))
		b.want("10.0.0.1:80=4 10.0.0.2:80=5")
		// The same file again: nothing happens to what was done by hand.
		<-b.d.Configure(cfg, "f")
		b.want("10.0.0.1:80=4 10.0.0.2:80=5")
		errs = b.change(by(lvs.OrderWeight, sad, 1), by(lvs.OrderWeight, one, -1))
		if !errors.Is(errs[0], lvs.ErrNoDestination) || !errors.Is(errs[1], lvs.ErrRange) {
			t.Errorf("orders: %v", errs)
		}
	})
}

func TestARefusalIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := memory.New()
		var refuse atomic.Value
		refuse.Store("")
		b := start(t, plane, memory.Faulty{Dataplane: plane, Refuse: func(verb string) bool { return verb == refuse.Load() }})
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(config.Config{}, "f")
		b.good(by(lvs.AddService, one, 0), by(lvs.AddDestination, one, 1))
		refuse.Store("put")
		if errs := b.change(by(lvs.AddDestination, two, 1)); !errors.Is(errs[0], memory.ErrRefused) {
			t.Errorf("%v", errs)
		}
		refuse.Store("")
		time.Sleep(time.Minute)
		b.want("10.0.0.1:80=1")
		refuse.Store("tuning")
		errs := b.change(lvs.Change{Kind: lvs.SetTimeouts, Timeouts: lvs.Timeouts{UDP: time.Hour}}, by(lvs.AddDestination, two, 1))
		if !errors.Is(errs[0], memory.ErrRefused) || errs[1] != nil {
			t.Errorf("%v", errs)
		}
		refuse.Store("")
		time.Sleep(time.Minute)
		b.want("10.0.0.2:80=1 10.0.0.1:80=1")
		if b.plane.Timeouts().UDP == time.Hour {
			t.Error("refused timeouts are in force")
		}
		if p := b.d.Snapshot().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
	})
}

func TestMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(config.Config{}, "f")
		b.good(by(lvs.AddService, one, 0))
		c := by(lvs.EditService, one, 0)
		c.Match, c.Service.Scheduler = lvs.MatchOf(b.d.Snapshot().Installed.At(web).Tag()), lvs.WRR
		errs := b.change(c, c)
		if errs[0] != nil || !errors.Is(errs[1], lvs.ErrChanged) {
			t.Errorf("%v", errs)
		}
		if errs = b.change(c); !errors.Is(errs[0], lvs.ErrChanged) {
			t.Errorf("%v", errs)
		}
	})
}

// A keeper is a journal in memory.
type keeper struct {
	mu    sync.Mutex
	notes []plan.Note
	begun int
}

func (k *keeper) Begin(ns []plan.Note) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes, k.begun = ns, k.begun+1
	return nil
}

func (k *keeper) Add(ns []plan.Note) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes = append(k.notes, ns...)
	return false, nil
}

func (k *keeper) memory() *plan.Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := plan.NewMemory()
	for _, n := range k.notes {
		m.Take(n)
	}
	return &m
}

// TestAKilledWeirIsFollowed: the next one has the same configuration, the
// table and the journal, and nothing changes.
func TestAKilledWeirIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, k := memory.New(), &keeper{}
		cfg := webs(true, real(one), real(two))
		cfg.Engine.Timeouts = lvs.Timeouts{TCP: time.Hour, TCPFin: time.Hour, UDP: time.Hour}
		b := start(t, plane, nil)
		b.stop()
		b = startWith(t, plane, k, nil)
		b.d.Reach(here)
		<-b.d.Configure(cfg, "f")
		b.judge(one, true)
		b.judge(two, true)
		other := lvs.Service{Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}, Scheduler: lvs.NQ}
		b.good(by(lvs.DeleteDestination, two, 0), by(lvs.OrderWeight, one, 0),
			lvs.Change{Kind: lvs.AddService, Service: other}, lvs.Change{Kind: lvs.SetTimeouts, Timeouts: lvs.Timeouts{UDP: time.Second}},
			lvs.Change{Kind: lvs.AddDestination, Service: lvs.Service{Key: other.Key}, Destination: lvs.Destination{Addr: one, Weight: 8}})
		const table = "10.0.0.1:80=0 10.0.0.1:80=8"
		b.want(table)
		b.stop()
		writes, begun := plane.Writes(), k.begun
		b = startWith(t, plane, k, k.memory())
		b.d.Reach(here)
		<-b.d.Configure(cfg, "f")
		b.want(table)
		if n := plane.Writes() - writes; n != 0 {
			t.Errorf("%d writes", n)
		}
		if k.begun != begun+1 || plane.Timeouts().UDP != time.Second {
			t.Errorf("begun %d times, UDP %s", k.begun, plane.Timeouts().UDP)
		}
		cfg.Engine.Timeouts.UDP = time.Minute
		<-b.d.Configure(cfg, "f")
		if plane.Timeouts().UDP != time.Minute {
			t.Error("the file has changed that very thing")
		}
		b.stop()
	})
}

// TestManyCallers: whatever is refused in between, each of a thousand parallel
// callers is answered, and the table is what the good answers say.
func TestManyCallers(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			plane := memory.New()
			var mu sync.Mutex
			dice := rand.New(rand.NewPCG(seed, 3))
			r := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return dice.IntN(n)
			}
			b := start(t, plane, memory.Faulty{Dataplane: plane, Refuse: func(string) bool { return seed > 0 && r(50) == 0 }, Half: func() bool { return r(2) == 0 }})
			defer b.stop()
			b.d.Reach(here)
			b.d.Configure(config.Config{}, "f")
			for len(b.change(by(lvs.AddService, one, 0))) == 1 && b.d.Snapshot().Installed.Len() == 0 {
				time.Sleep(time.Second)
			}
			var wg sync.WaitGroup
			good := make([]bool, 1000)
			for i := range good {
				wg.Go(func() {
					at := netip.MustParseAddrPort(fmt.Sprintf("10.0.%d.%d:80", i/250, 1+i%250))
					errs := b.change(by(lvs.AddDestination, at, i+1))
					good[i] = errs[0] == nil
				})
			}
			wg.Wait()
			time.Sleep(time.Minute)
			want := map[int]bool{}
			for i, ok := range good {
				if ok {
					want[i+1] = true
				}
			}
			if len(want) < 900 || seed == 0 && len(want) != 1000 {
				t.Errorf("seed %d: only %d took effect", seed, len(want))
			}
			for s := range plane.Installed(t.Context()) {
				if len(s.Destinations) != len(want) {
					t.Errorf("seed %d: %d stand, %d were told so", seed, len(s.Destinations), len(want))
				}
				for _, d := range s.Destinations {
					if !want[d.Weight] {
						t.Errorf("seed %d: %s stands, and was refused", seed, d)
					}
				}
			}
		})
	}
}
