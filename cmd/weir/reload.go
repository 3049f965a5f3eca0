package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/fsnotify/fsnotify"

	"github.com/weir-lb/weir/internal/cli"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect/all"
	"github.com/weir-lb/weir/internal/director"
	"github.com/weir-lb/weir/internal/lvs"
)

type digest [sha256.Size]byte

// read reads the configuration once.
func read(m machinery) (config.Config, digest, config.Problems, error) {
	text, err := cli.ReadFile(m.File)
	if err != nil {
		return config.Config{}, digest{}, nil, err
	}
	cfg, problems := all.Read(m.File, text, m.Format, m.env.Names)
	cfg.Engine = m.Engine.Apply(cfg.Engine)
	return cfg, sha256.Sum256(text), problems, nil
}

// logProblems logs each with its place.
func logProblems(log *slog.Logger, ps config.Problems) {
	for _, p := range ps {
		level, text := slog.LevelError, "configuration refused"
		if p.Warning {
			level, text = slog.LevelWarn, "configuration warning"
		}
		log.Log(context.Background(), level, text, "file", p.Place.File, "line", p.Place.Line, "why", p.Text)
	}
}

// quietTime is how long the file must have been quiet before it is read again:
// editors write it in several steps.
const quietTime = 300 * time.Millisecond

// A reloader reads the configuration again when it is told to, or when the
// file changes and the configuration says so. Only run changes its state.
type reloader struct {
	m       machinery
	d       *director.Director
	log     *slog.Logger
	file    *logFile
	current atomic.Pointer[config.Config] // the last good one
	seen    digest                        // of the text last tried, good or bad
	orders  chan request
	problem atomic.Pointer[string]
}

type request struct {
	ctx   context.Context
	reply chan reply
}

type reply struct {
	problems config.Problems
	err      error
}

func newReloader(m machinery, d *director.Director, log *slog.Logger, cfg config.Config, hash digest, file *logFile) *reloader {
	r := &reloader{m: m, d: d, log: log, file: file, seen: hash, orders: make(chan request)}
	r.current.Store(&cfg)
	r.problem.Store(new(string))
	return r
}

// ask reloads for the API and waits for the outcome.
func (r *reloader) ask(ctx context.Context) (string, config.Problems, error) {
	q := request{ctx, make(chan reply, 1)}
	select {
	case r.orders <- q:
	case <-ctx.Done():
		return r.m.File, nil, ctx.Err()
	}
	select {
	case a := <-q.reply:
		return r.m.File, a.problems, a.err
	case <-ctx.Done():
		return r.m.File, nil, ctx.Err()
	}
}

// refused is why the latest reload changed nothing.
func (r *reloader) refused() string { return *r.problem.Load() }

// kept are the services the configuration says to leave standing.
func (r *reloader) kept() (keys []lvs.ServiceKey) {
	for _, s := range r.current.Load().Services {
		if !s.CleanStop {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

func (r *reloader) run(ctx context.Context) error {
	// The directory is watched, not the file: editors put a new file in its
	// place.
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the configuration: %w", err)
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(r.m.File)); err != nil {
		return fmt.Errorf("watch the configuration: %w", err)
	}
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-r.orders:
			problems, err := r.reload(ctx, q.ctx)
			q.reply <- reply{problems, err}
		case <-r.m.hangup:
			r.reopenLog()
			_, _ = r.reload(ctx, ctx) // what is wrong is in the log
		case <-w.Events:
			quiet.Reset(quietTime)
		case err := <-w.Errors:
			r.log.Warn("watching the configuration", "error", err)
		case <-quiet.C:
			r.changed(ctx)
		}
	}
}

// reopenLog lets a log file be moved away. If there can be no new one, the
// old one is written on, wherever it is now.
func (r *reloader) reopenLog() {
	if err := r.file.reopen(); err != nil {
		r.log.Error("log file not changed", "error", err, "why", "the old one is written on")
	}
}

// changed reloads if that is wished and the file says something new.
func (r *reloader) changed(ctx context.Context) {
	if !r.current.Load().AutoReload {
		return
	}
	text, err := cli.ReadFile(r.m.File)
	if err != nil || sha256.Sum256(text) == r.seen {
		return // a file that is gone for a moment is about to be replaced
	}
	_, _ = r.reload(ctx, ctx) // what is wrong is in the log
}

// reload reads the file and, if it is good, waits until it is applied. A bad
// one changes nothing.
func (r *reloader) reload(ctx, caller context.Context) (config.Problems, error) {
	r.m.notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec())
	defer r.m.notify("READY=1")
	cfg, hash, problems, err := read(r.m)
	if err == nil {
		r.seen = hash
	}
	logProblems(r.log, problems)
	if err = errors.Join(err, problems.Err()); err != nil {
		text := err.Error()
		r.problem.Store(&text)
		r.log.Error("configuration not reloaded", "file", r.m.File, "why", "the old one stays in force")
		return problems, err
	}
	r.problem.Store(new(string))
	r.warnFixed(cfg)
	r.current.Store(&cfg)
	select {
	case err := <-r.d.Configure(cfg, r.m.File):
		return problems, err
	case <-ctx.Done():
		return problems, ctx.Err()
	case <-caller.Done():
		return problems, caller.Err()
	}
}

// warnFixed names what was changed and cannot change while weir runs.
func (r *reloader) warnFixed(cfg config.Config) {
	old := r.current.Load()
	if !reflect.DeepEqual(old.Engine, cfg.Engine) {
		r.log.Warn("settings of the packet engine change with the next start of weir", "file", r.m.File)
	}
	if old.LogFile != cfg.LogFile {
		r.log.Warn("the log file changes with the next start of weir", "file", r.m.File)
	}
}
