package netif

import (
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// links are all interfaces by index.
func (k *kernel) links() (map[int]netlink.Link, error) {
	all := map[int]netlink.Link{}
	err := whole(func() error {
		list, err := k.handle.LinkList()
		for _, l := range list {
			all[l.Attrs().Index] = l
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return all, nil
}

// notArrival are the kinds that look like Ethernet but where no packet for a
// service arrives first: what tunnels unwrap, and devices that only collect.
var notArrival = []string{"vxlan", "geneve", "gretap", "ip6gretap", "erspan", "ip6erspan", "dummy", "ifb", "nlmon", "vrf"}

// pick chooses the interfaces where packets may arrive: by name, or all
// Ethernet-like ones that are up and not themselves a port of another.
func (w *Watcher) pick(k *kernel, all map[int]netlink.Link) []lvs.Link {
	var links []lvs.Link
	for _, l := range all {
		a := l.Attrs()
		if a.Flags&net.FlagUp == 0 || a.EncapType != "ether" || len(a.HardwareAddr) != 6 {
			continue
		}
		if len(w.options.Interfaces) > 0 {
			if !slices.Contains(w.options.Interfaces, a.Name) {
				continue
			}
		} else if slices.Contains(notArrival, l.Type()) || isPort(l, all) {
			continue
		}
		links = append(links, k.describe(l))
	}
	slices.SortFunc(links, func(a, b lvs.Link) int { return a.Index - b.Index })
	for _, name := range w.options.Interfaces {
		if !slices.ContainsFunc(links, func(l lvs.Link) bool { return l.Name == name }) {
			w.complain("interface is missing, down or not Ethernet; packets arriving there are not balanced", "interface", name)
		}
	}
	return links
}

// isPort tells whether packets of l are handed to a master. A VRF takes no
// packets, it only routes for its members.
func isPort(l netlink.Link, all map[int]netlink.Link) bool {
	master := l.Attrs().MasterIndex
	return master != 0 && (all[master] == nil || all[master].Type() != "vrf")
}

func (k *kernel) describe(l netlink.Link) lvs.Link {
	a := l.Attrs()
	link := lvs.Link{Index: a.Index, Name: a.Name, MAC: mac(a.HardwareAddr), MTU: a.MTU, Kind: l.Type()}
	if link.Kind == "device" {
		link.Kind = ""
	}
	if info, err := unix.IoctlGetEthtoolDrvinfo(k.control, a.Name); err == nil {
		link.Driver = unix.ByteSliceToString(info.Driver[:])
	}
	bits, known := k.features(a.Index)
	link.XDP = link.Kind == "" && !slices.Contains(unfinished, link.Driver) && bits&neededXDP == neededXDP
	// Where the kernel cannot say, hardware that was told to use XDP is
	// believed to send, and a virtual device is not: XDP then leaves what
	// would go there to tc.
	link.XDPSend = bits&xdpTransmit != 0 || !known && link.Kind == ""
	link.XDPUntold = !known
	return link
}

// unfinished are drivers of virtual machines whose packets may come without a
// checksum, or larger than any wire, because the sender is on the same host.
// An XDP program would forward them as they are.
var unfinished = []string{"veth", "virtio_net", "vif", "tun", "netvsc", "hv_netvsc"}

func mac(hw net.HardwareAddr) (m [6]byte) {
	if len(hw) == len(m) {
		copy(m[:], hw)
	}
	return m
}
