package netif

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A hop is a neighbour's place: behind which interface, under which address.
type hop struct {
	link int
	addr netip.Addr
}

// A neighbour is what the kernel knows of one.
type neighbour struct {
	mac     [6]byte // zero: not resolved
	managed bool    // the kernel keeps it resolved
	fixed   bool    // somebody wrote it down for ever
	ours    bool    // weir asked for it
	failed  bool    // it did not answer, and has not since
	asking  bool    // the kernel is asking
}

// ownMark is the protocol number by which weir's neighbour entries are
// recognised, also by the next weir: an entry carries it as a route carries
// the number of the daemon that made it.
const ownMark = 0x57

// neighbours are all entries of both families.
func (k *kernel) neighbours() (map[hop]neighbour, error) {
	all := map[hop]neighbour{}
	err := whole(func() error {
		req := k.request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
		req.AddData(&netlink.Ndmsg{})
		messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
		for _, m := range messages {
			if h, n, ok := parseNeighbour(m); ok {
				all[h] = n
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	return all, nil
}

// parseNeighbour reads a message about a neighbour: struct ndmsg and its
// attributes. Entries of bridges and the like are not ok.
func parseNeighbour(m []byte) (h hop, n neighbour, ok bool) {
	const header = 12 // of struct ndmsg
	if len(m) < header || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return h, n, false
	}
	order := nl.NativeEndian()
	state := order.Uint16(m[8:])
	h.link = int(order.Uint32(m[4:]))
	n.failed, n.asking = state&netlink.NUD_FAILED != 0, state&netlink.NUD_INCOMPLETE != 0
	n.fixed = state&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0
	for kind, value := range attributes(m[header:]) {
		switch {
		case kind == netlink.NDA_DST:
			h.addr, _ = fromIP(value)
		case kind == netlink.NDA_LLADDR:
			// Given only while it may be used.
			n.mac = mac(value)
		case kind == netlink.NDA_FLAGS_EXT && len(value) >= 4:
			n.managed = order.Uint32(value)&netlink.NTF_EXT_MANAGED != 0
		case kind == netlink.NDA_PROTOCOL && len(value) >= 1:
			n.ours = value[0] == ownMark
		}
	}
	return h, n, h.addr.IsValid()
}

// keep has the kernel keep the next hops in needed resolved, and takes back
// what was asked for earlier and is not needed any more. What somebody wrote
// down for ever stays as it is.
func (w *Watcher) keep(k *kernel, all, needed map[hop]neighbour) {
	for h, n := range needed {
		if n.managed || n.fixed {
			continue
		}
		if err := k.manage(h); err != nil {
			w.complain("cannot keep a neighbour resolved", "neighbour", h.addr, "error", err)
		}
	}
	for h, n := range all {
		if _, still := needed[h]; n.ours && !still {
			if err := k.forget(h); err != nil {
				w.complain("cannot remove a neighbour entry", "neighbour", h.addr, "error", err)
			}
		}
	}
}

// manage makes an entry the kernel resolves now and renews by itself. An
// entry that is there keeps its address and state.
func (k *kernel) manage(h hop) error {
	req := k.request(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	addNeighbour(req, h)
	req.AddData(nl.NewRtAttr(netlink.NDA_FLAGS_EXT, nl.Uint32Attr(netlink.NTF_EXT_MANAGED)))
	req.AddData(nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{ownMark}))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// forget removes an entry; the kernel makes its own if it needs one.
func (k *kernel) forget(h hop) error {
	req := k.request(unix.RTM_DELNEIGH, unix.NLM_F_ACK)
	addNeighbour(req, h)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func addNeighbour(req *nl.NetlinkRequest, h hop) {
	family := uint8(unix.AF_INET6)
	if h.addr.Is4() {
		family = unix.AF_INET
	}
	req.AddData(&netlink.Ndmsg{Family: family, Index: uint32(h.link)})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, h.addr.AsSlice()))
}

// Release takes away every neighbour entry any weir has made in the network
// of the calling thread. It is for the end of the table (weir down): a weir
// that only stops leaves them, since packets go on flowing.
func Release() error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	all, err := k.neighbours()
	if err != nil {
		return err
	}
	var errs []error
	for h, n := range all {
		if n.ours {
			if err := k.forget(h); err != nil {
				errs = append(errs, fmt.Errorf("remove neighbour %s: %w", h.addr, err))
			}
		}
	}
	return errors.Join(errs...)
}
