package ipvs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// syncSetting begins what the record calls a sync daemon that was started here,
// and noSync is how it was before: there was none.
const (
	syncSetting = "sync-"
	noSync      = "none"
)

// StartSync implements dataplane.Syncer. It is remembered, to be ended by
// Remove.
func (p *Plane) StartSync(ctx context.Context, d lvs.SyncDaemon) error {
	name := syncSetting + string(d.Role)
	_, ours := p.record.settings()[name]
	if err := p.record.set(name, noSync); err != nil {
		return err
	}
	p.writes.Add(1)
	err := p.kernel.startSync(ctx, d)
	if err != nil && !ours {
		return errors.Join(err, p.record.unset(name))
	}
	return err
}

// StopSync implements dataplane.Syncer, whoever started it.
func (p *Plane) StopSync(ctx context.Context, r lvs.SyncRole) error {
	p.writes.Add(1)
	if err := p.kernel.stopSync(ctx, r); err != nil {
		return err
	}
	return p.record.unset(syncSetting + string(r))
}

// SyncDaemons implements dataplane.Syncer.
func (p *Plane) SyncDaemons(ctx context.Context) ([]lvs.SyncDaemon, error) {
	return p.kernel.syncDaemons(ctx)
}

func (t talk) startSync(ctx context.Context, d lvs.SyncDaemon) error {
	return t.tellSync(ctx, cmdNewDaemon, func(n *netlink.AttributeEncoder) { encodeSync(n, d) })
}

// stopSync ends a sync daemon. If the kernel says nothing to that, what runs
// tells what became of it.
func (t talk) stopSync(ctx context.Context, r lvs.SyncRole) error {
	err := t.tellSync(ctx, cmdDelDaemon, func(n *netlink.AttributeEncoder) { encodeRole(n, r) })
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	all, unread := t.syncDaemons(ctx)
	if unread != nil || slices.ContainsFunc(all, func(d lvs.SyncDaemon) bool { return d.Role == r }) {
		return errors.Join(err, unread)
	}
	return nil
}

func (t talk) tellSync(ctx context.Context, cmd uint8, write func(*netlink.AttributeEncoder)) error {
	b, err := encode(func(e *netlink.AttributeEncoder) { nested(e, attrDaemon, write) })
	if err != nil {
		return err
	}
	_, err = t.ask(ctx, cmd, false, b)
	return explain(err, cmd, lvs.Service{})
}

// syncDaemons are those that run, the master first.
func (t talk) syncDaemons(ctx context.Context) (all []lvs.SyncDaemon, err error) {
	msgs, err := t.ask(ctx, cmdGetDaemon, true, nil)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's sync daemons: %w", explain(err, cmdGetDaemon, lvs.Service{}))
	}
	for _, m := range msgs {
		inner, err := part(m, attrDaemon)
		if err != nil {
			return nil, err
		}
		d, err := decodeSync(inner)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b lvs.SyncDaemon) int { return strings.Compare(string(b.Role), string(a.Role)) })
	return all, nil
}
