package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/netif"
)

// openEngine loads the packet engine, or takes over the one that runs.
func openEngine(e config.Engine, log *slog.Logger) (plane, error) {
	p, err := ebpf.Open(ebpf.Options{Mode: ebpf.Mode(e.Mode), Connections: e.Connections, HalfOpen: e.HalfOpen, Wide: e.Wide}, log)
	if err != nil {
		return nil, privileged(err)
	}
	return p, nil
}

// privileged says what to do about a lack of privilege.
func privileged(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run weir as root, or with the capabilities weir(8) names", err)
	}
	return err
}

// removeAll takes away everything any weir has made in this network: the
// packet engine, and the neighbour entries that fed it.
func removeAll() error {
	return privileged(errors.Join(ebpf.Remove(), netif.Release()))
}

// removeLeft takes away what a weir that no longer runs has left standing.
func removeLeft(context.Context) error {
	held, err := lock(lockName)
	if err != nil {
		return err
	}
	defer held.Close()
	return errors.Join(removeAll(), forget(client.SocketPath()))
}
