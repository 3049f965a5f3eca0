// Package lab builds small networks out of network namespaces: hosts, wires
// between them, addresses, routes. Tests that need a network use it, and weir
// demo shows weir at work in one.
//
// It never touches the network of the machine it runs on: everything it makes
// lies inside namespaces it made itself, carries the process's number in its
// name, and is removed by Close, however far the building got.
package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// A Lab is a set of hosts that are removed together.
type Lab struct {
	name string

	mu     sync.Mutex
	hosts  []*Host
	closed bool
}

// built numbers the labs of this process, so that two of one name differ.
var built atomic.Uint32

// New starts an empty lab. Its hosts are the namespaces <name>-<pid>.<n>-<host>.
func New(name string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root; run as root")
	}
	return &Lab{name: fmt.Sprintf("%s-%d.%d", name, os.Getpid(), built.Add(1))}, nil
}

// Name is the common beginning of the hosts' namespaces.
func (l *Lab) Name() string { return l.name }

// Host adds a machine: a network namespace with its loopback up and without
// duplicate address detection, so that IPv6 addresses work at once.
func (l *Lab) Host(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	h, err := newHost(name, l.name+"-"+name)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	l.hosts = append(l.hosts, h)
	return h, nil
}

// Close ends the processes started in the lab and removes every host, wires
// and all. A second Close does nothing.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.remove())
	}
	l.hosts = nil
	return errors.Join(errs...)
}
