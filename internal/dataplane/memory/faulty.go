package memory

import (
	"context"
	"errors"
	"iter"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

// ErrRefused is what a Faulty plane refuses with.
var ErrRefused = errors.New("refused by the test")

// A Faulty plane stands before another one and refuses what Refuse tells it
// to: "put", "drop", "installed", "timeouts" or "reach". Half says that a refused change
// was done all the same, the worst answer there is.
type Faulty struct {
	dataplane.Dataplane
	Refuse func(verb string) bool
	Half   func() bool
}

func (f Faulty) do(verb string, change func() error) error {
	if !f.Refuse(verb) {
		return change()
	}
	if f.Half != nil && f.Half() {
		if err := change(); err != nil {
			return err
		}
	}
	return ErrRefused
}

// Put is the other's Put, or a refusal.
func (f Faulty) Put(ctx context.Context, s lvs.Service) error {
	return f.do("put", func() error { return f.Dataplane.Put(ctx, s) })
}

// Drop is the other's Drop, or a refusal.
func (f Faulty) Drop(ctx context.Context, k lvs.ServiceKey) error {
	return f.do("drop", func() error { return f.Dataplane.Drop(ctx, k) })
}

// Reach is the other's Reach, or a refusal.
func (f Faulty) Reach(ctx context.Context, n lvs.Network) error {
	return f.do("reach", func() error { return f.Dataplane.Reach(ctx, n) })
}

// Tune is the other's Tune, or a refusal.
func (f Faulty) Tune(ctx context.Context, t lvs.Tuning) error {
	return f.do("tuning", func() error { return f.Dataplane.Tune(ctx, t) })
}

// Installed is the other's Installed, or a refusal.
func (f Faulty) Installed(ctx context.Context) iter.Seq2[lvs.Service, error] {
	if f.Refuse("installed") {
		return func(yield func(lvs.Service, error) bool) { yield(lvs.Service{}, ErrRefused) }
	}
	return f.Dataplane.Installed(ctx)
}
