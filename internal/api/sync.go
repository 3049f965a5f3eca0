package api

import (
	"context"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Syncer is a data plane that exchanges connections with other directors.
type Syncer interface {
	StartSync(ctx context.Context, d lvs.SyncDaemon) error
	StopSync(ctx context.Context, r lvs.SyncRole) error
	SyncDaemons(ctx context.Context) ([]lvs.SyncDaemon, error)
}

// noSyncer is a data plane that does not.
type noSyncer struct{}

func (noSyncer) StartSync(context.Context, lvs.SyncDaemon) error {
	return fmt.Errorf("connections are exchanged only with dataplane: ipvs: %w", lvs.ErrUnsupported)
}
func (noSyncer) StopSync(context.Context, lvs.SyncRole) error { return lvs.ErrNoDaemon }

func (noSyncer) SyncDaemons(context.Context) ([]lvs.SyncDaemon, error) { return nil, nil }

// sync registers what is about sync daemons.
func (h handlers) sync(a huma.API) {
	huma.Get(a, syncTag, h.syncDaemons, says("sync-daemons", lvs.RoleRead, "The sync daemons that run, the master first"))
	huma.Post(a, syncTag, h.startSync, says("start-sync", lvs.RoleAdmin, "Start a sync daemon"), created, minds(syncTag))
	huma.Delete(a, syncTag+"/{role}", h.stopSync, says("stop-sync", lvs.RoleAdmin, "End a sync daemon"), minds(syncTag))
}

func (h handlers) syncDaemons(ctx context.Context, _ *struct{}) (*tagged[[]client.SyncDaemon], error) {
	all, err := h.o.Sync.SyncDaemons(ctx)
	if err != nil {
		return nil, unreadable(err)
	}
	out := []client.SyncDaemon{}
	for _, d := range all {
		out = append(out, client.SyncDaemonOf(d))
	}
	return withTag(lvs.SyncTag(all), out), nil
}

func (h handlers) startSync(ctx context.Context, q *struct{ Body client.SyncDaemon }) (*tagged[[]client.SyncDaemon], error) {
	d, err := q.Body.Noun()
	if err != nil {
		return nil, problem(err)
	}
	if err := h.changeSync(ctx, d.String(), func() error { return h.o.Sync.StartSync(ctx, d) }); err != nil {
		return nil, err
	}
	return h.syncDaemons(ctx, nil)
}

func (h handlers) stopSync(ctx context.Context, q *struct {
	Role string `path:"role" enum:"master,backup"`
}) (*struct{}, error) {
	return nil, h.changeSync(ctx, "--stop-daemon "+q.Role, func() error { return h.o.Sync.StopSync(ctx, lvs.SyncRole(q.Role)) })
}

// changeSync does something to the daemons, if they are as the caller has seen
// them. Callers come one by one, so that of two who have seen the same one
// finds it so.
func (h handlers) changeSync(ctx context.Context, what string, do func() error) error {
	h.syncing.Lock()
	defer h.syncing.Unlock()
	err := h.syncAsSeen(ctx)
	if err == nil {
		err = do()
	}
	guard.Of(ctx).Note(what, err)
	return problem(err)
}

func (h handlers) syncAsSeen(ctx context.Context) error {
	m := match(ctx)
	if m == nil {
		return nil
	}
	all, err := h.o.Sync.SyncDaemons(ctx)
	if err != nil {
		return unreadable(err)
	}
	if !m.Fits(lvs.SyncTag(all), true) {
		return fmt.Errorf("the sync daemons: %w", lvs.ErrChanged)
	}
	return nil
}
