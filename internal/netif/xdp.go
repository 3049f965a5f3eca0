package netif

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The kernel's words for what a driver can do (include/uapi/linux/netdev.h).
const (
	xdpBasic    = 1 << 0
	xdpRedirect = 1 << 1
	xdpTransmit = 1 << 2
)

// The generic netlink family that says it.
const (
	netdevFamily      = "netdev"
	netdevVersion     = 1
	netdevGet         = 1 // NETDEV_CMD_DEV_GET
	netdevIndex       = 1 // NETDEV_A_DEV_IFINDEX
	netdevXDPFeatures = 3 // NETDEV_A_DEV_XDP_FEATURES
)

// neededXDP is what a driver must do for a packet to come in on one interface
// and leave on another: run programs, redirect, and transmit what others
// redirect to it. A driver that offers the last only while a program is
// attached counts as one that does not; it can be told to use XDP.
const neededXDP = xdpBasic | xdpRedirect | xdpTransmit

// A genlHeader is struct genlmsghdr.
type genlHeader struct{ command, version uint8 }

// Len is nl.NetlinkRequestData's.
func (h genlHeader) Len() int { return 4 }

// Serialize is nl.NetlinkRequestData's.
func (h genlHeader) Serialize() []byte { return []byte{h.command, h.version, 0, 0} }

// features asks the kernel what the driver of an interface can do with XDP;
// unknown before Linux 6.3.
func (k *kernel) features(index int) (bits uint64, known bool) {
	if k.netdev == 0 {
		return 0, false
	}
	req := k.request(int(k.netdev), 0)
	req.AddData(genlHeader{netdevGet, netdevVersion})
	req.AddData(nl.NewRtAttr(netdevIndex, nl.Uint32Attr(uint32(index))))
	answers, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) != 1 {
		return 0, false
	}
	return xdpFeatures(answers[0]), true
}

// xdpFeatures reads the answer to a question about one device.
func xdpFeatures(answer []byte) uint64 {
	if len(answer) < (genlHeader{}).Len() {
		return 0
	}
	for kind, value := range attributes(answer[genlHeader{}.Len():]) {
		if kind == netdevXDPFeatures && len(value) >= 8 {
			return nl.NativeEndian().Uint64(value)
		}
	}
	return 0
}
