// Package netif watches the director's own network: the interfaces where
// packets may arrive, and how each real server is reached from here. It keeps
// the link-layer addresses of the next hops fresh in the kernel.
//
// It never decides anything about services, and it changes nothing but the
// neighbour entries it marks as its own; those it can take away again.
package netif

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

const (
	// quietTime is how long the network must have been quiet before it is
	// read again: changes come in bursts.
	quietTime = 20 * time.Millisecond
	// safety is how often the network is read again without being told to.
	safety = 30 * time.Second
	// share bounds the time spent reading: after a read that took t, the next
	// begins share × t later at the earliest. A router that learns a full
	// table must not keep a processor busy here.
	share = 10
	// again is when a read that went wrong is repeated.
	again = time.Second
)

// Options narrow what a Watcher sees. The zero value sees everything.
type Options struct {
	Interfaces []string // names; empty: every Ethernet-like interface that is up
}

// A Watcher tells how the network looks, each time it looks different.
type Watcher struct {
	log     *slog.Logger
	options Options
	wake    chan struct{}

	mu     sync.Mutex
	wish   []netip.Addr
	wanted bool // Want was called

	hops atomic.Pointer[map[hop]neighbour] // as last read, to tell which news matter

	said, saying map[string]bool // complaints of the last look and of this one
}

// NewWatcher makes a watcher. It touches nothing before Run.
func NewWatcher(log *slog.Logger, o Options) *Watcher {
	return &Watcher{log: log, options: o, wake: make(chan struct{}, 1), saying: map[string]bool{}}
}

// Want says which addresses packets will be sent to: all of them, each time.
// It never waits.
func (w *Watcher) Want(addrs []netip.Addr) {
	w.mu.Lock()
	w.wish, w.wanted = slices.Clone(addrs), true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// String is the task's name.
func (w *Watcher) String() string { return "network watcher" }

// Run tells the network as soon as addresses are wanted, and then whenever it
// has changed, until ctx ends. Before the first Want it tells nothing: a
// picture without paths would let the data plane forget those it has.
//
// The network it sees is that of the calling goroutine's thread.
func (w *Watcher) Run(ctx context.Context, told func(lvs.Network)) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	news, err := w.listen(ctx)
	if err != nil {
		return err
	}
	defer news.close()

	var last *lvs.Network
	for wait := time.Duration(0); ; {
		if !pause(ctx, wait) {
			return nil
		}
		news.drain()
		began := time.Now()
		now, err := w.look(k)
		next := safety
		switch {
		case err != nil:
			w.complain("cannot read the network", "error", err)
			next = again
		case now == nil || last != nil && same(*last, *now):
		default:
			last = now
			told(*now)
		}
		w.said, w.saying = w.saying, map[string]bool{}
		rest := max(quietTime, share*time.Since(began))
		if !w.waitForNews(ctx, news, next) {
			return nil
		}
		wait = rest
	}
}

// waitForNews returns when there is a reason to look again, or false when ctx
// has ended.
func (w *Watcher) waitForNews(ctx context.Context, news *listener, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-w.wake:
	case <-news.heard:
	case <-timer.C:
	}
	return true
}

// look reads the whole network once. It is nil while nothing is wanted.
func (w *Watcher) look(k *kernel) (*lvs.Network, error) {
	w.mu.Lock()
	wish, wanted := w.wish, w.wanted
	w.mu.Unlock()
	if !wanted {
		return nil, nil
	}
	all, err := k.links()
	if err != nil {
		return nil, err
	}
	neighbours, err := k.neighbours()
	if err != nil {
		return nil, err
	}
	n := &lvs.Network{Links: w.pick(k, all), Paths: map[netip.Addr]lvs.Path{}}
	hops := map[hop]neighbour{}
	for _, addr := range wish {
		p, err := k.path(addr, all)
		if err != nil {
			return nil, err
		}
		if h := (hop{p.Link, p.Via}); !p.Local && p.Link != 0 && p.Source != [6]byte{} {
			hops[h] = w.stillDead(h, neighbours[h])
			p.MAC = hops[h].mac
			if hops[h].failed {
				p.Trouble = lvs.NoNeighbour
			}
		}
		n.Paths[addr] = p
	}
	w.hops.Store(&hops)
	w.keep(k, neighbours, hops)
	return n, nil
}

// stillDead is n, failed as long as it has not answered: the kernel asks a dead
// neighbour again every few seconds, and does not know then that it is dead.
func (w *Watcher) stillDead(h hop, n neighbour) neighbour {
	if was := w.hops.Load(); was != nil && n.asking {
		n.failed = (*was)[h].failed
	}
	n.asking = false // of no account
	return n
}

func same(a, b lvs.Network) bool {
	return slices.Equal(a.Links, b.Links) && maps.Equal(a.Paths, b.Paths)
}

// complain says what is wrong, but not again while it stays so: the network
// is read often.
func (w *Watcher) complain(what string, args ...any) {
	key := fmt.Sprint(what, args)
	w.saying[key] = true
	if !w.said[key] {
		w.log.Warn(what, args...)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
