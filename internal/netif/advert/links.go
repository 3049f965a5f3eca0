package advert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A Link is what an interface is now.
type Link struct {
	Index int
	Up    bool // set up, and it has a carrier
	MAC   net.HardwareAddr
	Addrs []netip.Prefix // in the kernel's order; those that cannot be used yet are left out
}

// quiet is how long news must have ended before the interfaces are read: they
// come in bursts. A link that goes down is worth no wait longer than this.
const quiet = 5 * time.Millisecond

// safety is how often they are read without being told to.
const safety = 10 * time.Second

// Watch tells how the interfaces are, at once and whenever something changes,
// until ctx ends.
func Watch(ctx context.Context, log *slog.Logger, told func(map[string]Link)) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("read interfaces: %w", err)
	}
	defer h.Close()
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("hear of interfaces: %w", err)
	}
	context.AfterFunc(ctx, socket.Close)
	heard := make(chan struct{}, 1)
	go func() {
		for {
			_, _, err := socket.Receive()
			if ctx.Err() != nil {
				return
			}
			if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				time.Sleep(quiet)
			}
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}()
	for {
		links, err := read(h)
		if err != nil {
			log.Warn("cannot read the interfaces", "error", err)
		} else {
			told(links)
		}
		timer := time.NewTimer(safety)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-heard:
			timer.Stop()
			time.Sleep(quiet)
		}
	}
}

func read(h *netlink.Handle) (map[string]Link, error) {
	list, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	all, names := make(map[string]Link, len(list)), make(map[int]string, len(list))
	for _, l := range list {
		a := l.Attrs()
		names[a.Index] = a.Name
		all[a.Name] = Link{Index: a.Index, MAC: a.HardwareAddr,
			Up: a.Flags&net.FlagUp != 0 && (a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown)}
	}
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		bits, _ := a.Mask.Size()
		l := all[names[a.LinkIndex]]
		l.Addrs = append(l.Addrs, netip.PrefixFrom(ip.Unmap(), bits))
		all[names[a.LinkIndex]] = l
	}
	return all, nil
}
