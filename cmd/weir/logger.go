package main

import (
	"log/slog"
	"log/syslog"
	"strings"

	"github.com/weir-lb/weir/internal/config"
)

// logger writes to where the configuration says: a file, a facility of the
// system log, or else standard error.
func (m machinery) logger(cfg config.Config, file *logFile) *slog.Logger {
	if file != nil {
		return newLog(file, false)
	}
	facility, ok := config.Facility(cfg.LogFile)
	if !ok {
		return newLog(m.env.Stderr, m.journal)
	}
	w, err := m.syslog(syslog.Priority(facility<<3) | syslog.LOG_INFO)
	if err != nil {
		log := newLog(m.env.Stderr, m.journal)
		log.Warn("logging to standard error", "why", "the system log does not answer; start it, or give a file as log_file", "error", err)
		return log
	}
	return slog.New(byLevel{slog.LevelInfo: child(severity(w.Info)), slog.LevelWarn: child(severity(w.Warning)),
		slog.LevelError: child(severity(w.Err))})
}

// A severity writes lines to the system log with its priority.
type severity func(string) error

func (s severity) Write(line []byte) (int, error) {
	if err := s(strings.TrimSuffix(string(line), "\n")); err != nil {
		return 0, err
	}
	return len(line), nil
}
