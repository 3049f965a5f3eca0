package main

import (
	"context"
	"log/slog"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// openEngine loads the packet engine, or takes over the one that runs.
func openEngine(e config.Engine, log *slog.Logger) (plane, error) {
	return ebpf.Open(ebpf.Options{Mode: ebpf.Mode(e.Mode), Connections: e.Connections, HalfOpen: e.HalfOpen,
		TCP: e.Timeouts.TCP, TCPFin: e.Timeouts.TCPFin, UDP: e.Timeouts.UDP}, log)
}

// removeEngine takes away what a weir that no longer runs has left standing.
func removeEngine(context.Context) error {
	held, err := lock(lockName)
	if err != nil {
		return err
	}
	defer held.Close()
	return ebpf.Remove()
}
