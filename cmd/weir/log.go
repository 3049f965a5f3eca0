package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// newLog writes lines of key=value to w. For the journal, each line begins
// with its priority (sd-daemon(3)) and leaves out the time, which the journal
// writes itself.
func newLog(w io.Writer, journal bool) *slog.Logger {
	if !journal {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(byLevel{slog.LevelInfo: child(prefixed{w, "<6>"}), slog.LevelWarn: child(prefixed{w, "<4>"}),
		slog.LevelError: child(prefixed{w, "<3>"})})
}

// byLevel has one handler for each level there is a priority for.
type byLevel map[slog.Level]slog.Handler

// child writes lines without time and level, which their reader has already.
func child(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})
}

// prefixed writes a priority before each line; a TextHandler writes one line
// at a time.
type prefixed struct {
	w        io.Writer
	priority string
}

func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.priority), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

func (h byLevel) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h byLevel) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Level >= slog.LevelError:
		return h[slog.LevelError].Handle(ctx, r)
	case r.Level >= slog.LevelWarn:
		return h[slog.LevelWarn].Handle(ctx, r)
	}
	return h[slog.LevelInfo].Handle(ctx, r)
}

func (h byLevel) each(f func(slog.Handler) slog.Handler) slog.Handler {
	out := byLevel{}
	for l, c := range h {
		out[l] = f(c)
	}
	return out
}

func (h byLevel) WithAttrs(as []slog.Attr) slog.Handler {
	return h.each(func(c slog.Handler) slog.Handler { return c.WithAttrs(as) })
}

func (h byLevel) WithGroup(name string) slog.Handler {
	return h.each(func(c slog.Handler) slog.Handler { return c.WithGroup(name) })
}

// isJournal tells whether f is the journal systemd has connected: the
// variable names its device and inode, and children inherit the variable but
// not always the stream.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil || stream == "" {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", s.Dev, s.Ino) == stream
}

// A logFile can be opened again after somebody has moved it away.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

// openLog opens the log file. It is nil if path is none: the name of a syslog
// facility may stand there too.
func openLog(path string) (*logFile, error) {
	if !filepath.IsAbs(path) {
		return nil, nil
	}
	l := &logFile{path: path}
	return l, l.reopen()
}

func (l *logFile) reopen() error {
	if l == nil {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the log file: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_ = l.f.Close() // every line was written when it was logged
	}
	l.f = f
	return nil
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(b)
}
