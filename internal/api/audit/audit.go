// Package audit writes down who changed what over the API, and who was
// refused: a JSON object in each line of a file, or lines of the log.
//
// It is told what to write and never looks at a request itself; no token, no
// header and no body ever gets here.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Record is one change, or one refusal.
type Record struct {
	Time      time.Time `json:"time"`
	Login     string    `json:"login"`          // token, certificate, socket or none
	Who       string    `json:"who,omitempty"`  // the token's or certificate's name; on the socket: uid 0
	Role      string    `json:"role,omitempty"` // what they may do
	From      string    `json:"from"`           // address and port; on the socket: the process
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	Operation string    `json:"operation,omitempty"` // by its name in the OpenAPI description
	What      string    `json:"what,omitempty"`      // of a change: as ipvsadm would be told
	Outcome   string    `json:"outcome"`             // done, refused or failed
	Status    int       `json:"status,omitempty"`
	Why       string    `json:"why,omitempty"`
	Times     int       `json:"times,omitempty"` // refusals of the same kind that this line stands for
}

// MostInLog bounds the lines one request adds to the log, where many others
// are read, too. A file gets them all.
const MostInLog = 20

// A Log is where records go. Its methods may be called from anywhere.
type Log struct {
	log  *slog.Logger
	mu   sync.Mutex
	path string // empty: the log
	f    *os.File
}

// New writes to log until it is told to write to a file.
func New(log *slog.Logger) *Log { return &Log{log: log} }

// To makes path the file records go to from now; empty: the log. If it cannot
// be opened all stays as it is.
func (l *Log) To(path string) error {
	l.mu.Lock()
	same := path == l.path
	l.mu.Unlock()
	if same {
		return nil
	}
	return l.open(path)
}

// Reopen opens the file anew, after somebody has moved it away.
func (l *Log) Reopen() error {
	l.mu.Lock()
	path := l.path
	l.mu.Unlock()
	return l.open(path)
}

func (l *Log) open(path string) error {
	var f *os.File
	if path != "" {
		var err error
		if f, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return fmt.Errorf("open the audit file: %w", err)
		}
	}
	l.mu.Lock()
	old := l.f
	l.f, l.path = f, path
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error { return l.open("") }

// Write writes records of one request. What the file does not take goes to the
// log.
func (l *Log) Write(rs ...Record) {
	if len(rs) == 0 {
		return
	}
	tried, err := l.toFile(rs)
	if err != nil {
		l.log.Error("the audit file takes no more, so the log has it", "error", err)
	}
	if !tried || err != nil {
		l.toLog(rs)
	}
}

func (l *Log) toFile(rs []Record) (tried bool, err error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range rs {
		err = errors.Join(err, e.Encode(r))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return false, nil
	}
	if err == nil {
		_, err = l.f.Write(b.Bytes())
	}
	return true, err
}

func (l *Log) toLog(rs []Record) {
	for i, r := range rs {
		if i == MostInLog {
			l.log.Info("audit", "and", fmt.Sprintf("%d more changes of this request; an audit_file has them all", len(rs)-i))
			return
		}
		level := slog.LevelInfo
		if r.Outcome != "done" {
			level = slog.LevelWarn
		}
		l.log.LogAttrs(context.Background(), level, "audit", r.attrs()...)
	}
}

// attrs are the fields that say something.
func (r Record) attrs() (out []slog.Attr) {
	for _, f := range [][2]string{{"outcome", r.Outcome}, {"what", r.What}, {"login", r.Login}, {"who", r.Who}, {"role", r.Role}, {"from", r.From},
		{"operation", r.Operation}, {"method", r.Method}, {"path", r.Path}, {"why", r.Why}} {
		if f[1] != "" {
			out = append(out, slog.String(f[0], f[1]))
		}
	}
	if r.Status != 0 {
		out = append(out, slog.Int("status", r.Status))
	}
	if r.Times != 0 {
		out = append(out, slog.Int("times", r.Times))
	}
	return out
}
