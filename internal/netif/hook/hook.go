// Package hook hangs packet programs on interfaces and finds what hangs
// there: XDP and the clsact queueing discipline, by netlink.
//
// What is hung up stays when the process ends. It knows programs by
// descriptor and number only, never what they do.
package hook

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Side is a direction of traffic through an interface.
type Side bool

// The sides.
const (
	Ingress Side = false
	Egress  Side = true
)

// A Place is where a filter stands among those of its side: its priority.
type Place uint16

// The places of weir's filters; people's own usually have others. What a
// director forwards is never unwrapped here, so the engine comes first.
const (
	Engine Place = 0x7765 // "we"
	Decap  Place = 0x7766
)

const handle = 1

// SetXDP hangs the program fd on the interface, in the driver itself. It
// replaces a program that is there; the change is atomic for packets.
func SetXDP(ifindex, fd int) error {
	link, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return err
	}
	return netlink.LinkSetXdpFdWithFlags(link, fd, unix.XDP_FLAGS_DRV_MODE)
}

// ClearXDP takes the driver's program off the interface.
func ClearXDP(ifindex int) error { return gone(SetXDP(ifindex, -1)) }

// XDP is the number of the program on the interface; 0: none.
func XDP(ifindex int) (uint32, error) {
	link, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return 0, gone(err)
	}
	if x := link.Attrs().Xdp; x != nil && x.Attached {
		return x.ProgId, nil
	}
	return 0, nil
}

// SetFilter hangs the program fd on one side of the interface's clsact
// discipline, which is added if it is missing. For kernels before 6.6, which
// have no TCX.
func SetFilter(ifindex int, side Side, place Place, fd int, name string) error {
	err := netlink.QdiscAdd(clsact(ifindex))
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("add clsact: %w", err)
	}
	return netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs:  attrs(ifindex, side, place),
		Fd:           fd,
		Name:         name,
		DirectAction: true,
	})
}

// ClearFilter takes the filter at a place off; the discipline goes with its last filter.
func ClearFilter(ifindex int, side Side, place Place) error {
	if err := gone(netlink.FilterDel(&netlink.BpfFilter{FilterAttrs: attrs(ifindex, side, place)})); err != nil {
		return err
	}
	for _, s := range []Side{Ingress, Egress} {
		left, err := filters(ifindex, s)
		if err != nil || len(left) > 0 {
			return gone(err)
		}
	}
	return gone(netlink.QdiscDel(clsact(ifindex)))
}

// Filters are the numbers of the programs on one side of clsact.
func Filters(ifindex int, side Side) ([]uint32, error) {
	list, err := filters(ifindex, side)
	if err != nil {
		return nil, gone(err)
	}
	var ids []uint32
	for _, f := range list {
		if b, ok := f.(*netlink.BpfFilter); ok {
			ids = append(ids, uint32(b.Id))
		}
	}
	return ids, nil
}

func filters(ifindex int, side Side) ([]netlink.Filter, error) {
	link, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, err
	}
	return netlink.FilterList(link, parent(side))
}

func clsact(ifindex int) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: ifindex,
			Handle:    netlink.MakeHandle(0xffff, 0),
			Parent:    netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
}

func attrs(ifindex int, side Side, place Place) netlink.FilterAttrs {
	return netlink.FilterAttrs{LinkIndex: ifindex, Parent: parent(side), Handle: handle, Protocol: unix.ETH_P_ALL, Priority: uint16(place)}
}

func parent(side Side) uint32 {
	if side == Egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// gone forgives that there is nothing to take away, or no interface any more.
func gone(err error) error {
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
