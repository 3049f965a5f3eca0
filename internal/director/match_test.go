package director

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestMatchOfManyAtOnce: of two batches the loop takes together the second has
// not seen what the first does, and nothing of it is done.
func TestMatchOfManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(config.Config{}, "f")
		seen := lvs.MatchOf(lvs.TagOf(nil))
		batchOf := func(cs ...lvs.Change) *batch {
			return &batch{table: seen, changes: cs, errs: make([]error, len(cs)), open: len(cs), done: make(chan []error, 1)}
		}
		first, second := batchOf(by(lvs.AddService, one, 0)), batchOf(by(lvs.AddDestination, one, 1), by(lvs.AddDestination, two, 1))
		b.d.tell(func(m *mind) { m.asked(first); m.asked(second) })
		if errs := <-first.done; first.stale || errs[0] != nil {
			t.Errorf("the first: %v", errs)
		}
		if errs := <-second.done; !second.stale || !errors.Is(errs[0], lvs.ErrChanged) || !errors.Is(errs[1], lvs.ErrChanged) {
			t.Errorf("the second: %v", errs)
		}
		b.want("")
	})
}

// TestMatchOfWhatIsNoService: of the whole table, and of timeouts.
func TestMatchOfWhatIsNoService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, memory.New(), nil)
		defer b.stop()
		b.d.Reach(here)
		<-b.d.Configure(config.Config{}, "f")
		empty, timeouts := lvs.MatchOf(lvs.TagOf(nil)), lvs.MatchOf(b.d.Snapshot().Timeouts.Tag())
		add, set := by(lvs.AddService, one, 0), lvs.Change{Kind: lvs.SetTimeouts, Timeouts: lvs.Timeouts{UDP: time.Hour}}
		add.Match, set.Match = empty, timeouts
		clearing := lvs.Change{Kind: lvs.ClearTable, Match: empty}
		errs := b.change(add, clearing, set, set)
		if errs[0] != nil || !errors.Is(errs[1], lvs.ErrChanged) || errs[2] != nil || !errors.Is(errs[3], lvs.ErrChanged) {
			t.Errorf("%v", errs)
		}
		any := by(lvs.DeleteService, one, 0)
		any.Match = lvs.Match{"*"}
		if errs := b.change(any, any); errs[0] != nil || !errors.Is(errs[1], lvs.ErrChanged) {
			t.Errorf("%v", errs)
		}
	})
}
