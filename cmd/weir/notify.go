package main

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/weir-lb/weir/internal/director"
)

// notify tells the service manager. Without one, or one that does not answer,
// there is nothing to do about it.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// ready tells the service manager when the first configuration is applied.
func (m machinery) ready(ctx context.Context, d *director.Director) error {
	for {
		next := d.NextEvent()
		if d.Snapshot().Configured {
			m.notify("READY=1")
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchdog tells the service manager that the director's loop comes round, if
// it wants to know. A loop that stands still is told by silence.
func (m machinery) watchdog(ctx context.Context, d *director.Director) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return errors.New("WATCHDOG_USEC is not understood; leave WatchdogSec to systemd")
	}
	if interval == 0 {
		return nil
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.Alive():
			m.notify("WATCHDOG=1")
		}
	}
}
