package netif

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A listener hears that something in the network changed. What it was is read
// afterwards: a message that was lost, or came twice, does no harm then.
type listener struct {
	heard chan struct{}
	stop  func()
	ended sync.WaitGroup
}

// groups are the kernel's news that can change a picture.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
}

func (w *Watcher) listen(ctx context.Context) (*listener, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("hear of network changes: %w", err)
	}
	l := &listener{heard: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	l.stop = cancel
	context.AfterFunc(ctx, socket.Close)
	l.ended.Go(func() {
		for ctx.Err() == nil {
			messages, _, err := socket.Receive()
			// No room means that messages were lost, so something changed.
			if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				if ctx.Err() == nil && !pause(ctx, again) {
					return
				}
				continue
			}
			if err != nil || w.matter(messages) {
				l.ring()
			}
		}
	})
	return l, nil
}

func (l *listener) ring() {
	select {
	case l.heard <- struct{}{}:
	default:
	}
}

// drain forgets what was heard before a look begins.
func (l *listener) drain() {
	select {
	case <-l.heard:
	default:
	}
}

func (l *listener) close() {
	l.stop()
	l.ended.Wait()
}

// matter tells whether news can change the picture. Neighbours are confirmed
// every few seconds, each time with a message; only a next hop's other
// address counts.
func (w *Watcher) matter(messages []syscall.NetlinkMessage) bool {
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			h, n, ok := parseNeighbour(m.Data)
			hops := w.hops.Load()
			if !ok || hops == nil {
				continue
			}
			known, needed := (*hops)[h]
			if m.Header.Type == unix.RTM_DELNEIGH {
				n = neighbour{}
			}
			n = w.stillDead(h, n)
			if needed && n != known {
				return true
			}
		case unix.NLMSG_NOOP, unix.NLMSG_DONE:
		default:
			return true
		}
	}
	return false
}
