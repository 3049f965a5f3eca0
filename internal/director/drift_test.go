package director

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

// A common is a table others change, too: theirs goes to the model below it.
type common struct {
	*memory.Plane
	mu     sync.Mutex
	ours   map[lvs.ServiceKey]bool
	astray []string
	refuse bool
}

func (c *common) Put(ctx context.Context, s lvs.Service) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		return errors.New("not now")
	}
	c.ours[s.Key] = true
	return c.Plane.Put(ctx, s)
}

func (c *common) Drop(ctx context.Context, k lvs.ServiceKey) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ours, k)
	return c.Plane.Drop(ctx, k)
}

func (c *common) Tune(ctx context.Context, t lvs.Tuning) error {
	c.setAstray()
	return c.Plane.Tune(ctx, t)
}

func (c *common) Ours() map[lvs.ServiceKey]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.ours)
}

func (c *common) Astray(context.Context) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.astray, nil
}

func (c *common) setAstray(lines ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.astray = lines
}

func (c *common) setRefuse(so bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = so
}

// theirs is somebody else's hand.
func (b *bench) theirs(ss ...lvs.Service) {
	for _, s := range ss {
		if err := b.plane.Put(b.t.Context(), s); err != nil {
			b.t.Fatal(err)
		}
	}
}

var (
	foreign = lvs.Service{Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: sad, Weight: 5}}}
	meddled = lvs.Service{Key: web, Scheduler: lvs.WLC, Destinations: []lvs.Destination{{Addr: two, Weight: 9}, {Addr: one, Weight: 1}}}
)

// startShared runs a director over a common table, with real one always up.
func startShared(t *testing.T, how config.Drift, found ...lvs.Service) (*bench, *common, config.Config) {
	c := &common{Plane: memory.New(), ours: map[lvs.ServiceKey]bool{}}
	b := &bench{t: t, plane: c.Plane}
	b.theirs(found...)
	b.run(Options{Plane: c})
	cfg := webs(true, real(one), real(two))
	cfg.Drift = how
	for i := range cfg.Services[0].Reals {
		cfg.Services[0].Reals[i].Check = config.CheckOf(lvs.Check{Kind: lvs.CheckOn})
	}
	b.d.Reach(here)
	if err := <-b.d.Configure(cfg, "f"); err != nil {
		t.Fatal(err)
	}
	return b, c, cfg
}

func (b *bench) drift(want ...lvs.DriftKind) {
	b.t.Helper()
	synctest.Wait()
	var got []lvs.DriftKind
	for _, d := range b.d.Snapshot().Drift {
		got = append(got, d.Kind)
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("drift %v, want %v", b.d.Snapshot().Drift, want)
	}
}

const untouched = "10.0.0.2:80=1 10.0.0.1:80=1"

func TestDriftIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, cfg := startShared(t, config.ReportDrift)
		defer b.stop()
		b.want(untouched)
		b.drift()
		b.theirs(meddled, foreign)
		b.drift() // nobody has looked yet
		time.Sleep(lookEvery)
		b.drift(lvs.DriftChanged, lvs.DriftForeign)
		time.Sleep(time.Hour)
		b.want("10.0.0.2:80=9 10.0.0.1:80=1 127.0.0.1:80=5")
		snap := b.d.Snapshot()
		if snap.Installed.Len() != 2 || !slices.Equal(snap.Drift[0].Lines, []string{"-e -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 1"}) ||
			snap.Drift[1].Lines[0] != "-A -f 7 -s rr" {
			t.Errorf("snapshot %v, drift %v", snap.Installed, snap.Drift)
		}
		if n := strings.Count(b.log.String(), "somebody else changed the table"); n != 2 {
			t.Errorf("%d lines about two changes", n)
		}
		// Put right by the other, it is over.
		if err := b.plane.Drop(t.Context(), foreign.Key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		b.drift(lvs.DriftChanged)
		// A reload puts right what is weir's, and leaves what is not.
		b.theirs(foreign)
		time.Sleep(lookEvery)
		if would, err := b.d.Preview(t.Context(), cfg); err != nil || !slices.Equal(would, []string{"-e -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 1"}) {
			t.Errorf("a reload would do %q, %v", would, err)
		}
		if err := <-b.d.Configure(cfg, "f"); err != nil {
			t.Fatal(err)
		}
		b.want(untouched + " 127.0.0.1:80=5")
		b.drift(lvs.DriftForeign)
		for _, kind := range []string{"drift", "drift-over"} {
			if !slices.Contains(b.kinds(), kind) {
				t.Errorf("no event %s in %v", kind, b.kinds())
			}
		}
	})
}

// TestDriftElsewhereStays: a change weir makes in one service, or must try
// again, does not touch what others did to another.
func TestDriftElsewhereStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := startShared(t, config.ReportDrift)
		defer b.stop()
		mail := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: web.Addr, Family: 0}, Scheduler: lvs.RR}
		mail.Key.Protocol = lvs.UDP
		b.good(lvs.Change{Kind: lvs.AddService, Service: mail})
		b.theirs(meddled)
		time.Sleep(lookEvery)
		b.drift(lvs.DriftChanged)
		c.setRefuse(true)
		errs := b.change(lvs.Change{Kind: lvs.AddDestination, Service: mail, Destination: lvs.Destination{Addr: one, Weight: 1}})
		if errs[0] == nil {
			t.Error("not refused")
		}
		c.setRefuse(false)
		b.good(lvs.Change{Kind: lvs.AddDestination, Service: mail, Destination: lvs.Destination{Addr: one, Weight: 3}})
		time.Sleep(time.Minute)
		b.want("10.0.0.2:80=9 10.0.0.1:80=1 10.0.0.1:80=3")
		b.drift(lvs.DriftChanged)
	})
}

func TestDriftIsCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := startShared(t, config.CorrectDrift)
		defer b.stop()
		b.theirs(meddled, foreign)
		c.setAstray("--set 900 120 300, found 1 2 3")
		time.Sleep(lookEvery)
		b.want(untouched)
		time.Sleep(lookEvery)
		b.drift()
		if err := b.plane.Drop(t.Context(), web); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		b.want(untouched)
		if n := strings.Count(b.log.String(), "drift corrected"); n != 4 {
			t.Errorf("%d corrections of 4:\n%s", n, b.log.String())
		}
	})
}

// TestAdoptionOfACommonTable: what stands and is wished is compared with the
// wish, becomes weir's and serves on; what is not wished stays, and is drift.
func TestAdoptionOfACommonTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		standing := lvs.Service{Key: web, Scheduler: lvs.WLC, Destinations: []lvs.Destination{{Addr: two, Weight: 1}, {Addr: one, Weight: 1}}}
		b, c, _ := startShared(t, config.ReportDrift, standing, foreign)
		defer b.stop()
		b.want(untouched + " 127.0.0.1:80=5")
		b.drift(lvs.DriftForeign)
		if ours := c.Ours(); len(ours) != 1 || !ours[web] {
			t.Errorf("ours are %v", ours)
		}
		if c.Writes() != 2 { // by others
			t.Errorf("%d writes", c.Writes())
		}
	})
}

// TestWeirsOldServicesGo: what an earlier weir put in and nobody asks for any
// more is taken away, as ever.
func TestWeirsOldServicesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &common{Plane: memory.New(), ours: map[lvs.ServiceKey]bool{foreign.Key: true}}
		b := &bench{t: t, plane: c.Plane}
		b.theirs(foreign)
		b.run(Options{Plane: c})
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(config.Config{Drift: config.ReportDrift}, "f")
		b.want("")
		b.drift()
	})
}

// TestAHandReachesForeignServices: whoever changes somebody else's service by
// weir makes it weir's; a change that is refused does not.
func TestAHandReachesForeignServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := startShared(t, config.ReportDrift, foreign)
		defer b.stop()
		at := func(kind lvs.ChangeKind, d lvs.Destination) lvs.Change {
			return lvs.Change{Kind: kind, Service: lvs.Service{Key: foreign.Key, Scheduler: lvs.RR}, Destination: d}
		}
		errs := b.change(at(lvs.AddService, lvs.Destination{}), at(lvs.DeleteDestination, lvs.Destination{Addr: one}))
		if !errors.Is(errs[0], lvs.ErrServiceExists) || !errors.Is(errs[1], lvs.ErrNoDestination) || c.Ours()[foreign.Key] {
			t.Errorf("%v, ours %v", errs, c.Ours())
		}
		c.setRefuse(true)
		if errs := b.change(at(lvs.AddDestination, lvs.Destination{Addr: one, Weight: 2})); errs[0] == nil {
			t.Error("not refused")
		}
		b.want(untouched + " 127.0.0.1:80=5") // and not dropped for it
		c.setRefuse(false)
		b.good(at(lvs.AddDestination, lvs.Destination{Addr: one, Weight: 2}))
		b.want(untouched + " 10.0.0.1:80=2 127.0.0.1:80=5")
		b.drift()
		b.good(at(lvs.DeleteService, lvs.Destination{}))
		b.want(untouched)
		// The whole table is everybody's, whoever clears it.
		b.theirs(foreign)
		time.Sleep(lookEvery)
		c.setRefuse(true)
		if errs := b.change(lvs.Change{Kind: lvs.ReplaceTable, Table: []lvs.Service{{Key: web, Scheduler: lvs.NQ}}}); errs[0] == nil {
			t.Error("not refused")
		}
		c.setRefuse(false)
		time.Sleep(time.Minute)
		b.want(untouched + " 127.0.0.1:80=5")
		b.good(lvs.Change{Kind: lvs.ClearTable})
		b.want("")
		b.drift()
	})
}
