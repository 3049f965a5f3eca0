package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
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

// An inForce is a configuration as it was read from a text.
type inForce struct {
	config.Config
	text digest
}

// tag is another one for another text.
func (f inForce) tag() string { return fmt.Sprintf("%x", f.text[:8]) }

// read reads the configuration once.
func read(m machinery) (config.Config, []byte, config.Problems, error) {
	text, err := cli.ReadFile(m.File)
	if err != nil {
		return config.Config{}, nil, nil, err
	}
	cfg, problems := m.understand(text)
	return cfg, text, problems, nil
}

// understand reads a text as the configuration file's.
func (m machinery) understand(text []byte) (config.Config, config.Problems) {
	cfg, problems := all.Read(m.File, text, m.Format, m.env.Names)
	cfg.Engine = m.Engine.Apply(cfg.Engine)
	if problems.Err() == nil {
		problems = append(problems, config.Unfit(cfg)...)
	}
	return cfg, problems
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
	current atomic.Pointer[inForce] // the last good one
	seen    digest                  // of the text last tried, good or bad
	orders  chan request
	history history
	problem atomic.Pointer[string]
	beside  besides
}

// A request is to read the file again, or to put a text in its place before.
type request struct {
	ctx   context.Context
	match lvs.Match              // the configuration must have such a tag
	text  func() ([]byte, error) // nil: the file as it is
	how   string                 // it came to be, for the history
	reply chan reply
}

type reply struct {
	problems config.Problems
	err      error
}

func newReloader(m machinery, d *director.Director, log *slog.Logger, cfg config.Config, text []byte, file *logFile) *reloader {
	r := &reloader{m: m, d: d, log: log, file: file, seen: sha256.Sum256(text), orders: make(chan request), history: historyOf(m.Socket)}
	r.keep(text, "start")
	r.current.Store(&inForce{cfg, r.seen})
	r.problem.Store(new(string))
	return r
}

// keep remembers a text. That it cannot is told, and stops nobody.
func (r *reloader) keep(text []byte, how string) {
	if err := r.history.keep(text, how); err != nil {
		r.log.Warn("the history of configurations has a hole", "error", err)
	}
}

// ask reloads for the API and waits for the outcome.
func (r *reloader) ask(ctx context.Context, m lvs.Match) (string, config.Problems, error) {
	return r.request(request{ctx: ctx, match: m, how: "reload"})
}

// apply puts a text in the place of the configuration file and reloads it.
func (r *reloader) apply(ctx context.Context, m lvs.Match, text []byte) (string, config.Problems, error) {
	return r.request(request{ctx: ctx, match: m, how: "apply", text: func() ([]byte, error) { return text, nil }})
}

// rollback puts the text before the newest in the place of the file.
func (r *reloader) rollback(ctx context.Context, m lvs.Match) (string, config.Problems, error) {
	return r.request(request{ctx: ctx, match: m, how: "rollback", text: r.history.before})
}

func (r *reloader) request(q request) (string, config.Problems, error) {
	ctx := q.ctx
	q.reply = make(chan reply, 1)
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
			problems, err := r.obey(ctx, q)
			q.reply <- reply{problems, err}
		case <-r.m.hangup:
			r.reopenLogs()
			_, _ = r.reload(ctx, ctx, "reload") // what is wrong is in the log
		case <-w.Events:
			quiet.Reset(quietTime)
		case err := <-w.Errors:
			r.log.Warn("watching the configuration", "error", err)
		case <-quiet.C:
			r.changed(ctx)
		}
	}
}

// reopenLogs lets log and audit file be moved away. If there can be no new
// one, the old one is written on, wherever it is now.
func (r *reloader) reopenLogs() {
	if err := errors.Join(r.file.reopen(), r.beside.records.Reopen()); err != nil {
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
	_, _ = r.reload(ctx, ctx, "reload") // what is wrong is in the log
}

// obey carries out a request. A text with problems does not touch the file.
func (r *reloader) obey(ctx context.Context, q request) (config.Problems, error) {
	if err := r.stale(q); err != nil {
		return nil, err
	}
	if q.text == nil {
		return r.reload(ctx, q.ctx, q.how)
	}
	text, err := q.text()
	if err != nil {
		return nil, err
	}
	if _, problems := r.m.understand(text); problems.Err() != nil {
		return problems, problems.Err()
	}
	path, err := filepath.EvalSymlinks(r.m.File)
	if err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err == nil {
		err = replaceFile(path, text, info.Mode().Perm())
	}
	if err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return r.reload(ctx, q.ctx, q.how)
}

// stale refuses a request that is about another configuration than the one in
// force. Whoever wants the file replaced has not seen what is in it, either, if
// it was changed and not reloaded.
func (r *reloader) stale(q request) error {
	now := r.current.Load()
	if !q.match.Fits(now.tag(), true) {
		return fmt.Errorf("the configuration: %w", lvs.ErrChanged)
	}
	if q.match == nil || q.text == nil {
		return nil
	}
	text, err := cli.ReadFile(r.m.File)
	if err == nil && sha256.Sum256(text) != now.text {
		return fmt.Errorf("%s was edited and not reloaded: %w; weir diff shows it, weir reload takes it", r.m.File, lvs.ErrChanged)
	}
	return err
}

// reload reads the file and, if it is good, waits until it is applied. A bad
// one changes nothing.
func (r *reloader) reload(ctx, caller context.Context, how string) (config.Problems, error) {
	r.m.notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec())
	defer r.m.notify("READY=1")
	cfg, text, problems, err := read(r.m)
	if err == nil {
		r.seen = sha256.Sum256(text)
	}
	logProblems(r.log, problems)
	if err = errors.Join(err, problems.Err()); err != nil {
		text := err.Error()
		r.problem.Store(&text)
		r.log.Error("configuration not reloaded", "file", r.m.File, "why", "the old one stays in force")
		// The files it names are read all the same: a token that was taken
		// away must not open the door any longer.
		logProblems(r.log, r.beside.set(r.current.Load().Config))
		return problems, err
	}
	r.problem.Store(new(string))
	r.warnFixed(cfg)
	r.current.Store(&inForce{cfg, r.seen})
	r.keep(text, how)
	select {
	case err = <-r.d.Configure(cfg, r.m.File):
	case <-ctx.Done():
		err = ctx.Err()
	case <-caller.Done():
		err = caller.Err()
	}
	// Last, because it may cut off the caller.
	more := r.beside.set(cfg)
	logProblems(r.log, more)
	return append(problems, more...), err
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
