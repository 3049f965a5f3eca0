package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"log/syslog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-lb/weir/internal/api"
	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/cli"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dialect/all"
	"github.com/weir-lb/weir/internal/director"
	"github.com/weir-lb/weir/internal/health"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/metrics"
	"github.com/weir-lb/weir/internal/netif"
	"github.com/weir-lb/weir/internal/plan"
	"github.com/weir-lb/weir/internal/procfiles"
	"github.com/weir-lb/weir/internal/state"
)

// A plane is what the daemon needs of a data plane.
type plane interface {
	dataplane.Dataplane
	dataplane.Observer
	Run(ctx context.Context) error // housekeeping, until ctx ends
	Close() error                  // leaves packets flowing
}

// A watcher is what the daemon needs of the network room.
type watcher interface {
	director.Watcher
	Run(ctx context.Context, told func(lvs.Network)) error
}

// A partner is this director's part in virtual routers.
type partner interface {
	set([]lvs.Router) // all there are; it does not wait
	list() []lvs.RouterRole
	handOver(ctx context.Context, router string) error
	run(ctx context.Context) error
}

// A machinery is the part of the daemon that differs under test.
type machinery struct {
	cli.RunOptions
	env     cli.Env
	lock    string
	hangup  <-chan os.Signal
	notify  func(state string) // to the service manager
	journal bool               // standard error is the journal
	open    func(config.Engine, *slog.Logger) (plane, error)
	remove  func() error                              // takes away what weir leaves standing when it only ends
	watch   func(config.Engine, *slog.Logger) watcher // nil if there is nothing to watch
	share   func(socket string, d *director.Director, log *slog.Logger) partner
	// syslog finds the system log.
	syslog func(syslog.Priority) (*syslog.Writer, error)
}

func system(env cli.Env, o cli.RunOptions, hangup <-chan os.Signal) machinery {
	return machinery{RunOptions: o, env: env, lock: lockName, hangup: hangup, notify: notify,
		syslog:  func(p syslog.Priority) (*syslog.Writer, error) { return syslog.New(p, "weir") },
		journal: isJournal(os.Stderr, os.Getenv("JOURNAL_STREAM")), open: opener(o.Socket), remove: removeAll, share: newSharing,
		watch: func(e config.Engine, log *slog.Logger) watcher {
			if !watching(e) {
				return nil
			}
			return netif.NewWatcher(log, netif.Options{Interfaces: e.Interfaces})
		}}
}

// explainer is the data plane as one, if it can explain.
func explainer(p plane) api.Explainer {
	e, _ := p.(dataplane.Explainer)
	return e
}

// syncer is the data plane as one, if it can exchange connections.
func syncer(p plane) api.Syncer {
	s, _ := p.(dataplane.Syncer)
	return s
}

// errDown ends a daemon that was asked to take everything away.
var errDown = errors.New("asked to go down")

// runDaemon builds the rooms in order, runs them until the first ends, and
// leaves packets flowing unless it was asked to go down.
func runDaemon(ctx context.Context, m machinery) error {
	held, err := lock(m.lock)
	if err != nil {
		return err
	}
	defer held.Close()

	cfg, text, problems, err := read(m)
	if err = errors.Join(err, problems.Err()); err != nil {
		return err
	}
	file, err := openLog(cfg.LogFile)
	if err != nil {
		return err
	}
	log := m.logger(cfg, file)
	logProblems(log, problems)
	records := audit.New(log.With("room", "audit"))
	if err := records.To(cfg.AuditFile); err != nil {
		return err
	}
	defer records.Close()

	dp, err := m.open(cfg.Engine, log.With("room", "dataplane"))
	if err != nil {
		return err
	}
	l, err := api.Listen(m.Socket)
	if err != nil {
		return errors.Join(err, dp.Close())
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g, ctx := errgroup.WithContext(ctx)
	// The director does not exist yet when its two informants are made.
	var d *director.Director
	monitor := health.NewMonitor(log.With("room", "health"), func(v lvs.Verdict) { d.Judge(v) })
	network := m.watch(cfg.Engine, log.With("room", "netif")) // nil: the data plane finds its own ways
	journal := state.New(statePath(m.Socket), dp.Plane().Since)
	o := director.Options{Plane: dp, Describe: dp.Plane, Monitor: monitor,
		Journal: journal, Remembered: remembered(journal, log), Log: log.With("room", "director")}
	if network != nil {
		o.Watcher = network
	}
	d = director.New(o)
	share := m.share(m.Socket, d, log.With("room", "vrrp"))
	keeper := guard.New(records)
	r := newReloader(m, d, log, cfg, text, file)
	counts := counterOf(dp)
	shown := metrics.Handler(metrics.Options{Snapshot: d.Snapshot, Routers: share.list, Totals: dp.Totals, Version: m.env.Version})
	var door *api.Door // its handler is made first
	handler := api.Handler(api.Options{Metrics: shown, Director: d, Observer: counts, Zero: counts.Zero, Explainer: explainer(dp), Sync: syncer(dp), Version: m.env.Version, PID: os.Getpid(),
		Started: time.Now(), Reload: r.ask, Apply: r.apply, Rollback: r.rollback, History: r.history.versions,
		Config: func() (config.Config, string) { now := r.current.Load(); return now.Config, now.tag() },
		Read: func(file string, text []byte, format string) (config.Config, config.Problems) {
			return all.Read(file, text, format, m.env.Names)
		},
		Refused: r.refused, Routers: share.list, HandOver: share.handOver,
		Served: func() ([]string, []string) { return door.Served() },
		Down:   func() []lvs.ServiceKey { stop(errDown); return r.kept() }})

	door = api.NewDoor(keeper, handler, log.With("room", "api"))
	proc := procfiles.New(procfiles.Source{Snapshot: d.Snapshot, Totals: counts.Totals, Connections: counts.Connections},
		procPath(m.Socket), log.With("room", "procfiles"))
	r.beside = besides{door, records, proc, share}
	logProblems(log, r.beside.set(cfg))

	log.Info("weir starts", "version", m.env.Version, "file", m.File, "dataplane", dp.Plane().Name)
	d.Configure(cfg, m.File)
	g.Go(func() error { return d.Run(ctx) })
	g.Go(func() error { return monitor.Run(ctx) })
	if network != nil {
		g.Go(func() error { return network.Run(ctx, d.Reach) })
	}
	g.Go(func() error { return dp.Run(ctx) })
	g.Go(func() error { return counts.Run(ctx) })
	g.Go(func() error { return api.Serve(ctx, l, keeper.Socket(handler)) })
	g.Go(func() error { return door.Run(ctx) })
	g.Go(func() error { return proc.Run(ctx) })
	g.Go(func() error { return r.run(ctx) })
	g.Go(func() error { return share.run(ctx) })
	g.Go(func() error { return m.ready(ctx, d) })
	g.Go(func() error { return m.watchdog(ctx, d) })
	err = g.Wait()
	m.notify("STOPPING=1")
	return errors.Join(err, journal.Close(), m.leave(dp, log, errors.Is(context.Cause(ctx), errDown), r.kept()))
}

// statePath is where the weir behind a socket remembers what was changed by
// hand: beside it, so that weirs of different namespaces do not meet.
func statePath(socket string) string { return filepath.Join(filepath.Dir(socket), "changes") }

// forget takes away what is remembered about a table that is taken away.
func forget(socket string) error {
	return errors.Join(state.Remove(statePath(socket)), historyOf(socket).remove(), procfiles.Remove(procPath(socket)), release(addressesPath(socket)))
}

// remembered is what an earlier weir knew of the table that is standing. What
// cannot be read is no reason to stay away: the configuration is in force then.
func remembered(j *state.Journal, log *slog.Logger) *plan.Memory {
	memory, err := j.Read()
	if err != nil {
		log.Error("what was changed by hand is forgotten", "error", err)
	}
	return memory
}

// leave ends the life of this process's hold on the data plane.
func (m machinery) leave(dp plane, log *slog.Logger, down bool, kept []lvs.ServiceKey) error {
	if !down {
		log.Info("weir ends and packets flow on", "why", "the next weir goes on from here; weir down takes the table away")
		return dp.Close()
	}
	forgotten := forget(m.Socket)
	if s, ok := dp.(sharer); ok {
		log.Info("weir ends and takes what it put in away", "kept", len(kept))
		return errors.Join(s.Remove(context.Background(), kept), dp.Close(), forgotten) // the daemon's own context has ended
	}
	if len(kept) == 0 {
		log.Info("weir ends and takes its table away")
		return errors.Join(dp.Close(), m.remove(), forgotten)
	}
	log.Info("weir ends and takes its table away", "but", fmt.Sprintf("%d services stay as configured", len(kept)))
	return errors.Join(dropBut(dp, kept), dp.Close(), forgotten)
}

func dropBut(dp plane, kept []lvs.ServiceKey) error {
	keep := map[lvs.ServiceKey]bool{}
	for _, k := range kept {
		keep[k] = true
	}
	ctx := context.Background() // the daemon's own has ended
	var gone []lvs.ServiceKey
	for s, err := range dp.Installed(ctx) {
		if err != nil {
			return err
		}
		if !keep[s.Key] {
			gone = append(gone, s.Key)
		}
	}
	var errs []error
	for _, k := range gone {
		errs = append(errs, dp.Drop(ctx, k))
	}
	return errors.Join(errs...)
}
