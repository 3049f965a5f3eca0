// Package host makes this host a real server, and what it was before. It
// collects facts, does what internal/realserver says is to be done, and
// remembers every change in a file before it makes it, so that a crash loses
// none.
//
// It decides nothing itself and keeps nothing running: what was changed stays
// until Down.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/netif/local"
	"github.com/weir-lb/weir/internal/realserver"
	"github.com/weir-lb/weir/internal/realserver/decap"
)

// A Host is the machine, or network namespace, of the calling thread.
type Host struct {
	Record string // the file that remembers; its directory is made if missing
	Ask    bool   // ask the segment who has the addresses
}

// ErrNoWish says that nothing was ever asked for here.
var ErrNoWish = errors.New("weir has not prepared this host; say what for: weir realserver check --vip ADDRESS --method METHOD")

// Check compares the host with a wish, or with that of the last Up if w is
// nil. It changes nothing.
func (h Host) Check(ctx context.Context, w *realserver.Wish) (realserver.Report, error) {
	r, err := h.read()
	if err != nil {
		return realserver.Report{}, err
	}
	if w == nil {
		if r == nil {
			return realserver.Report{}, ErrNoWish
		}
		w = &r.Wish
	}
	return h.report(ctx, *w, h.Ask)
}

// report looks at the host as it is now.
func (h Host) report(ctx context.Context, w realserver.Wish, ask bool) (rep realserver.Report, err error) {
	rep.Wish = &w
	f, seen, err := facts(w)
	if err != nil {
		return rep, err
	}
	if ask {
		if f.Answers, err = local.Ask(ctx, f.Arrivals(w), w.VIPs); err != nil {
			return rep, err
		}
	}
	rep.Requirements, rep.Fates = realserver.Check(w, f), seen
	if r, err := h.read(); err == nil && r != nil {
		rep.Changes = r.Changes
	}
	return rep, nil
}

func facts(w realserver.Wish) (f realserver.Facts, seen []realserver.Fate, err error) {
	if f.Links, err = local.Links(); err != nil {
		return f, nil, err
	}
	for _, read := range []func() error{
		func() (err error) { f.Addresses, err = local.Addresses(f.Links); return err },
		func() (err error) { f.Defaults, err = local.Defaults(f.Links); return err },
		func() (err error) { f.Settings, err = local.Settings(realserver.Settings(w, f.Links)); return err },
		func() (err error) { f.Listeners, err = local.Listeners(); return err },
		func() (err error) { f.Chains, err = local.Chains(); return err },
		func() (err error) { f.Lost, err = local.Lost(); return err },
		func() (err error) { f.Unwrap, seen, err = decap.Running(); return err },
	} {
		if err := read(); err != nil {
			return f, nil, err
		}
	}
	return f, seen, nil
}

// Up makes the host ready for the wish, which is the whole of it: what an
// earlier Up changed and this one does not need is undone. The report says how
// the host stands afterwards.
func (h Host) Up(ctx context.Context, w realserver.Wish) (rep realserver.Report, err error) {
	unlock, err := h.lock()
	if err != nil {
		return rep, err
	}
	defer unlock()
	old, err := h.read()
	if err != nil {
		return rep, err
	}
	f, _, err := facts(w)
	if err != nil {
		return rep, err
	}
	list := realserver.Check(w, f)
	var earlier []realserver.Change
	if old != nil {
		earlier = old.Changes
	}
	todo := realserver.Todo(list)
	stale, kept := realserver.Stale(list, earlier)
	// Until all is done, what was and what will be changed are both
	// remembered: whatever happens meanwhile, Down finds it.
	if err := h.write(record{Wish: w, Changes: realserver.Remember(earlier, todo)}); err != nil {
		return rep, err
	}
	undone, left, err := undo(stale)
	if err != nil {
		return rep, err
	}
	for _, c := range todo {
		if err := do(c); err != nil {
			return rep, fmt.Errorf("%w; weir realserver down undoes what was done so far", err)
		}
	}
	if err := h.write(record{Wish: w, Changes: realserver.Remember(kept, todo)}); err != nil {
		return rep, err
	}
	rep, err = h.report(ctx, w, h.Ask)
	rep.Done, rep.Undone, rep.Kept = todo, undone, left
	return rep, err
}

// Down undoes what Up has done, and nothing else.
func (h Host) Down(context.Context) (rep realserver.Report, err error) {
	unlock, err := h.lock()
	if err != nil {
		return rep, err
	}
	defer unlock()
	r, err := h.read()
	if err != nil {
		return rep, err
	}
	if r == nil {
		r = &record{}
	}
	slices.Reverse(r.Changes)
	rep.Undone, rep.Kept, err = undo(r.Changes)
	if err != nil {
		return rep, err
	}
	// A program whose record was lost is weir's all the same.
	if err := decap.Remove(); err != nil {
		return rep, err
	}
	if err := remove(h.Record); err != nil {
		return rep, err
	}
	_ = os.Remove(filepath.Dir(h.Record)) // it goes if nothing else is in it
	return rep, nil
}

// Show tells what Up has done and what the program has counted.
func (h Host) Show(context.Context) (rep realserver.Report, err error) {
	r, err := h.read()
	if err != nil {
		return rep, err
	}
	if r != nil {
		rep.Wish, rep.Changes = &r.Wish, r.Changes
	}
	_, rep.Fates, err = decap.Running()
	return rep, err
}

func do(c realserver.Change) error {
	switch {
	case c.Setting != nil:
		return local.Set(c.Setting.Key, c.Setting.Now)
	case c.Address != nil:
		return local.AddAddress(*c.Address)
	case c.Unwrap != nil:
		return decap.Attach(*c.Unwrap)
	}
	return nil
}

// undo takes changes back in the order given. A setting that has another value
// than weir gave it belongs to whoever changed it since.
func undo(list []realserver.Change) (undone, left []realserver.Change, err error) {
	for _, c := range list {
		switch {
		case c.Setting != nil:
			now, err := local.Settings([]string{c.Setting.Key})
			if err != nil {
				return undone, left, err
			}
			value, there := now[c.Setting.Key]
			if !there || value == c.Setting.Was {
				continue // the interface is gone, or it was never done
			}
			if value != c.Setting.Now {
				left = append(left, c)
				continue
			}
			if err := local.Set(c.Setting.Key, c.Setting.Was); err != nil {
				return undone, left, err
			}
		case c.Address != nil:
			if err := local.RemoveAddress(*c.Address); err != nil {
				return undone, left, err
			}
		case c.Unwrap != nil:
			if err := decap.Remove(); err != nil {
				return undone, left, err
			}
		}
		undone = append(undone, c)
	}
	return undone, left, nil
}

// lock makes sure to be the only one that changes this host: the directory of
// the record is what is locked, so that no other file stays behind.
func (h Host) lock() (unlock func(), err error) {
	dir := filepath.Dir(h.Record)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory that remembers: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock the real server's record: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the real server's record: %w", err), f.Close())
	}
	// Closing gives the lock back; it cannot fail in a way that matters.
	return func() { _ = f.Close() }, nil
}
