// Package dataplane says what weir's director asks of the part that forwards
// packets. It holds promises only: the bodies live in dataplane/ebpf (weir's own
// engine), dataplane/ipvs (the kernel's) and dataplane/memory (a model for
// tests), and every body passes the conformance test in dataplane/dataplanetest.
//
// The room never knows why a table looks as it does: no health, no
// configuration, no roles.
package dataplane

import (
	"context"
	"iter"

	"github.com/weir-lb/weir/internal/lvs"
)

// Errors a body may answer with; test with errors.Is.
var (
	// ErrFull says that the tables have no room for what was asked.
	ErrFull = lvs.ErrFull
	// ErrUnsupported says that this body cannot do what was asked.
	ErrUnsupported = lvs.ErrUnsupported
)

// A Dataplane forwards packets for the services put into it.
//
// One goroutine changes it, any number may read it. Every change is
// idempotent: doing it twice is doing it once, and the second time nothing is
// written. Nothing but Drop, Put and the passing of time takes anything away:
// closing a body, or dying, leaves packets flowing.
type Dataplane interface {
	// Put installs s with all its destinations, or replaces what stands
	// under s.Key. A packet sees the old service or the new one, never a
	// mixture; dataplane/ipvs, whose kernel takes one destination at a time,
	// adds before it takes away instead. Connections of destinations that stay are untouched. The
	// connections of a destination that is gone are kept and their packets
	// dropped until they time out or the destination comes back
	// (IPVS with expire_nodest_conn=0). Changing the scheduler starts it
	// afresh; otherwise its place in the round is kept as IPVS keeps it.
	Put(ctx context.Context, s lvs.Service) error

	// Drop removes a service. Dropping what is not there is no error.
	Drop(ctx context.Context, k lvs.ServiceKey) error

	// Installed yields what is really there, in key order, destinations in
	// list order.
	Installed(ctx context.Context) iter.Seq2[lvs.Service, error]

	// Tune tells how long connections last, which of IPVS's switches are on
	// and which packets get which firewall mark. It is the whole wish; a
	// timeout counts from a connection's next packet on.
	Tune(ctx context.Context, t lvs.Tuning) error

	// Reach tells where packets may arrive and how destinations are
	// reached. It is the whole wish: links that are no longer named are
	// left alone by the body from then on.
	Reach(ctx context.Context, n lvs.Network) error
}

// A Batcher does many changes at once cheaper than one by one. While change
// runs, its Puts and Drops may take effect later, at the end of Batch at last.
type Batcher interface {
	Batch(change func()) error
}

// An Observer reads what a data plane counts and remembers.
type Observer interface {
	// Totals reads every counter. The answer is the caller's own.
	Totals(ctx context.Context) (lvs.Totals, error)

	// Reading reads what Totals tells of services, to be told one at a time.
	Reading(ctx context.Context) (lvs.Reading, error)

	// Count reads what Totals tells of one service, and no more:
	// lvs.ErrNoService if it does not stand. The answer is the caller's own.
	Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error)

	// Use tells how full the connection table is, as Totals does.
	Use(ctx context.Context) (lvs.ConnectionUse, error)

	// Connections yields the connections that match f, in no order.
	Connections(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error]

	// Plane describes the body.
	Plane() lvs.Plane
}

// A Sharer is a body whose table others may change, too. What stands there and
// was not put there by weir is not weir's to take away.
type Sharer interface {
	// Ours names the services that were put there by this weir or one
	// before it. Put makes a service weir's, also one that stands as asked.
	Ours() map[lvs.ServiceKey]bool
	// Astray tells which settings are not as Tune set them last, and how.
	Astray(ctx context.Context) ([]string, error)
}

// A Syncer is a body that can exchange connections with other directors. What
// it starts runs on without weir, as forwarding does.
type Syncer interface {
	// StartSync starts a sync daemon: lvs.ErrDaemonRuns if one of its role runs,
	// lvs.ErrNoInterface if its interface is not there.
	StartSync(ctx context.Context, d lvs.SyncDaemon) error
	// StopSync ends one: lvs.ErrNoDaemon if none runs.
	StopSync(ctx context.Context, r lvs.SyncRole) error
	// SyncDaemons are those that run, the master first, with every value.
	SyncDaemons(ctx context.Context) ([]lvs.SyncDaemon, error)
}

// An Explainer runs a made-up packet through the real engine and tells what
// would happen to it. Nothing changes by it: no connection is made, no counter
// moves, no scheduler takes a turn.
type Explainer interface {
	Explain(ctx context.Context, p lvs.Probe) (lvs.Explanation, error)
}
