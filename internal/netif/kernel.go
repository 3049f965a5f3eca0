package netif

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A kernel is the ways to ask the kernel about one network. Its sockets are
// opened once, because a socket belongs to the network of the thread that
// opened it and keeps to it wherever it is used.
type kernel struct {
	handle  *netlink.Handle
	sockets map[int]*nl.SocketHandle
	control int    // for SIOCETHTOOL
	netdev  uint16 // generic netlink family that knows XDP features; 0: none
}

func openKernel() (k *kernel, err error) {
	k = &kernel{control: -1, sockets: map[int]*nl.SocketHandle{}}
	defer func() {
		if err != nil {
			k.close()
			err = fmt.Errorf("speak to the kernel's network: %w", err)
		}
	}()
	if k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_GENERIC); err != nil {
		return nil, err
	}
	for _, protocol := range []int{unix.NETLINK_ROUTE, unix.NETLINK_GENERIC} {
		s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), protocol)
		if err != nil {
			return nil, err
		}
		k.sockets[protocol] = &nl.SocketHandle{Socket: s}
	}
	if k.control, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	// Linux 6.3 and later; without it nobody says what drivers can do.
	if family, err := k.handle.GenlFamilyGet(netdevFamily); err == nil {
		k.netdev = family.ID
	}
	return k, nil
}

func (k *kernel) close() {
	if k.handle != nil {
		k.handle.Close()
	}
	for _, s := range k.sockets {
		s.Close()
	}
	if k.control >= 0 {
		unix.Close(k.control)
	}
}

// request starts a message on the kernel's own sockets.
func (k *kernel) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = k.sockets
	return req
}

// whole repeats a dump that a change interrupted, a few times.
func whole(dump func() error) error {
	err := dump()
	for range 4 {
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
		err = dump()
	}
	return err
}
