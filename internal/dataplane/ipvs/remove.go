package ipvs

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// Remove takes away what weir put into the kernel, but the services to be
// kept, and puts the settings back. What others put there stays.
func (p *Plane) Remove(ctx context.Context, keep []lvs.ServiceKey) error {
	var errs []error
	for k := range p.record.ours() {
		if !slices.Contains(keep, k) {
			errs = append(errs, p.Drop(ctx, k))
		}
	}
	if len(p.record.ours()) > 0 {
		return errors.Join(errs...) // what stays needs its settings, and to be remembered
	}
	errs = append(errs, p.putBack(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.record.remove()
}

// Left tells what an earlier weir left standing in the kernel of this network
// namespace: how many services.
func Left(o Options) (int, error) {
	if _, err := os.Stat(o.Record); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	s, err := here()
	if err != nil {
		return 0, err
	}
	defer s.close()
	r, err := readRecord(o.Record, s.id)
	if err != nil || r == nil {
		return 0, err
	}
	return len(r.services), nil
}

// Remove takes away what an earlier weir, which no longer runs, has put into
// the kernel of this network namespace.
func Remove(ctx context.Context, o Options, log *slog.Logger) error {
	if _, err := os.Stat(o.Record); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s, err := here()
	if err != nil {
		return err
	}
	r, err := readRecord(o.Record, s.id)
	if err = errors.Join(err, s.close()); err != nil {
		return err
	}
	if r == nil {
		return (&record{path: o.Record}).remove()
	}
	p, err := Open(o, log)
	if errors.Is(err, ErrNoIPVS) {
		return r.remove() // gone with its module
	}
	if err != nil {
		return err
	}
	return errors.Join(p.Remove(ctx, nil), p.Close())
}
