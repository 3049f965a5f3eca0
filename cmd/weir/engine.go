package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/dataplane/ipvs"
	"github.com/weir-lb/weir/internal/netif"
)

// opener opens the data plane that is asked for.
func opener(socket string) func(config.Engine, *slog.Logger) (plane, error) {
	return func(e config.Engine, log *slog.Logger) (plane, error) {
		if e.Dataplane == config.IPVS {
			return openKernel(socket, log)
		}
		if err := noKernelTable(socket); err != nil {
			return nil, err
		}
		return openEngine(e, log)
	}
}

// openEngine loads the packet engine, or takes over the one that runs.
func openEngine(e config.Engine, log *slog.Logger) (plane, error) {
	p, err := ebpf.Open(ebpf.Options{Mode: ebpf.Mode(e.Mode), Connections: e.Connections, Connections6: e.Connections6, HalfOpen: e.HalfOpen, Wide: e.Wide}, log)
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
func removeLeft(ctx context.Context, socket string) error {
	held, err := lock(lockName)
	if err != nil {
		return err
	}
	defer held.Close()
	return errors.Join(removeAll(), privileged(ipvs.Remove(ctx, kernelTable(socket), slog.New(slog.DiscardHandler))), forget(socket))
}
