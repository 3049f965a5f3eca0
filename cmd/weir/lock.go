package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// lockName is a unix socket without a file. Such names belong to the network
// namespace, exactly what one weir is for, and end with their process.
const lockName = "@weir"

var errRunning = errors.New("another weir runs in this network namespace")

// lock makes sure to be the only weir of this network namespace until the
// lock is closed.
func lock(name string) (io.Closer, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; ask it with: weir status", errRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the network namespace: %w", err)
	}
	return l, nil
}

// gone waits until no weir runs here any more.
func gone(ctx context.Context) error {
	for {
		l, err := lock(lockName)
		if err == nil {
			return l.Close()
		}
		if !errors.Is(err, errRunning) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
