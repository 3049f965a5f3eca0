package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/dataplane/ipvs"
	"github.com/weir-lb/weir/internal/estimate"
	"github.com/weir-lb/weir/internal/lvs"
)

// kernelTable is what weir keeps about the kernel's IPVS: a file beside the
// socket, so that weirs of different namespaces do not meet.
func kernelTable(socket string) ipvs.Options {
	return ipvs.Options{Record: filepath.Join(filepath.Dir(socket), "ipvs")}
}

// openKernel goes to work on the kernel's IPVS. While a packet engine hangs on
// interfaces, packets would never get there.
func openKernel(socket string, log *slog.Logger) (plane, error) {
	running, err := ebpf.Running()
	if err != nil {
		return nil, privileged(err)
	}
	if running {
		return nil, fmt.Errorf("weir's packet engine takes the packets here before the kernel's IPVS; take it away first with: weir down")
	}
	p, err := ipvs.Open(kernelTable(socket), log)
	if err != nil {
		return nil, privileged(err)
	}
	return p, nil
}

// noKernelTable refuses to load a packet engine where weir has left services in
// the kernel's IPVS: they would stand there for ever.
func noKernelTable(socket string) error {
	n, err := ipvs.Left(kernelTable(socket))
	if err != nil || n == 0 {
		return err
	}
	return fmt.Errorf("weir has left %d services in the kernel's IPVS; take them away first with: weir down", n)
}

// A sharer takes away only what weir put in.
type sharer interface {
	Remove(ctx context.Context, keep []lvs.ServiceKey) error
}

// A counter is what the API asks for counters.
type counter interface {
	estimate.Observer
	Zero(ctx context.Context, k *lvs.ServiceKey) error
	Run(ctx context.Context) error
}

// counterOf puts an estimator of rates before a data plane, unless that works
// them out itself, as the kernel's IPVS does.
func counterOf(dp plane) counter {
	if c, ok := dp.(counter); ok {
		return c
	}
	return estimate.New(dp)
}

// watching tells whether somebody must find the ways to real servers.
func watching(e config.Engine) bool { return e.Dataplane != config.IPVS }
