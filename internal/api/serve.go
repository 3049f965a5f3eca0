package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-lb/weir/internal/api/guard"
)

// Listen opens the unix socket at path, for root only. What a weir that was
// killed left there is replaced: the caller has made sure to be the only one.
func Listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a place for the socket: %w", err)
	}
	// Made under a name of its own and moved when its mode is right: at no
	// moment may anybody else connect.
	private, err := os.MkdirTemp(dir, ".socket-")
	if err != nil {
		return nil, fmt.Errorf("make a place for the socket: %w", err)
	}
	defer os.RemoveAll(private)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(private, "s"), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	err = errors.Join(os.Chmod(filepath.Join(private, "s"), 0o600), os.Rename(filepath.Join(private, "s"), path))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("put the socket in its place: %w", err), l.Close())
	}
	return socket{l, path}, nil
}

// A socket removes its file when it is closed, and the directory if that was
// all there was in it.
type socket struct {
	net.Listener
	path string
}

func (s socket) Close() error {
	err := errors.Join(s.Listener.Close(), os.Remove(s.path))
	_ = os.Remove(filepath.Dir(s.path)) // refused while anything is in it
	return err
}

// Serve answers on l until ctx ends, then lets answers under way finish for
// a second.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	ending, end := context.WithCancel(context.Background())
	defer end()
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10, ConnContext: guard.Peer, BaseContext: func(net.Listener) context.Context { return ending }}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	end() // whoever waits for events is answered now
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		_ = s.Close() // an answer nobody takes is given up
	}
	<-done
	return nil
}
