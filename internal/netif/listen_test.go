package netif

import (
	"log/slog"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// neighbourMessage is what the kernel sends about a neighbour.
func neighbourMessage(h hop, mac []byte, state uint16) []byte {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, 0)
	addNeighbour(req, h)
	req.Data[0].(*netlink.Ndmsg).State = state
	if mac != nil {
		req.AddData(nl.NewRtAttr(netlink.NDA_LLADDR, mac))
	}
	return req.Serialize()[unix.NLMSG_HDRLEN:]
}

// A network with many neighbours is full of news; reading all of it again for
// each would keep a processor busy.
func TestMatter(t *testing.T) {
	known := hop{7, netip.MustParseAddr("10.2.0.2")}
	stranger := hop{7, netip.MustParseAddr("10.2.0.3")}
	elsewhere := hop{8, known.addr}
	w := NewWatcher(slog.New(slog.DiscardHandler), Options{})
	news := func(kind uint16, data []byte) bool {
		return w.matter([]syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: kind}, Data: data}})
	}
	if news(unix.RTM_NEWNEIGH, neighbourMessage(known, realMAC[:], netlink.NUD_REACHABLE)) {
		t.Error("a neighbour matters before any is needed")
	}
	w.hops.Store(&map[hop]neighbour{known: {mac: realMAC}})
	tests := []struct {
		name string
		kind uint16
		data []byte
		want bool
	}{
		{"torn", unix.RTM_NEWNEIGH, []byte{unix.AF_INET, 0, 0}, false},
		{"of a bridge", unix.RTM_NEWNEIGH, make([]byte, 12), false},
		{"a stranger", unix.RTM_NEWNEIGH, neighbourMessage(stranger, otherMAC[:], netlink.NUD_REACHABLE), false},
		{"the same address elsewhere", unix.RTM_NEWNEIGH, neighbourMessage(elsewhere, otherMAC[:], netlink.NUD_REACHABLE), false},
		{"confirmed", unix.RTM_NEWNEIGH, neighbourMessage(known, realMAC[:], netlink.NUD_REACHABLE), false},
		{"stale", unix.RTM_NEWNEIGH, neighbourMessage(known, realMAC[:], netlink.NUD_STALE), false},
		{"another card", unix.RTM_NEWNEIGH, neighbourMessage(known, otherMAC[:], netlink.NUD_REACHABLE), true},
		{"lost", unix.RTM_NEWNEIGH, neighbourMessage(known, nil, netlink.NUD_FAILED), true},
		{"deleted", unix.RTM_DELNEIGH, neighbourMessage(known, realMAC[:], netlink.NUD_STALE), true},
		{"a route", unix.RTM_NEWROUTE, nil, true},
		{"an interface", unix.RTM_DELLINK, nil, true},
		{"an address", unix.RTM_NEWADDR, nil, true},
		{"a rule", unix.RTM_NEWRULE, nil, true},
		{"nothing", unix.NLMSG_NOOP, nil, false},
	}
	for _, tt := range tests {
		if got := news(tt.kind, tt.data); got != tt.want {
			t.Errorf("%s: matters %t, want %t", tt.name, got, tt.want)
		}
	}
}

// Messages come from the kernel, of which there will be newer ones.
func FuzzMessages(f *testing.F) {
	f.Add(neighbourMessage(hop{7, netip.MustParseAddr("fd02::2")}, realMAC[:], netlink.NUD_REACHABLE))
	f.Add([]byte{1, 1, 0, 0, 12, 0, 3, 0, 7, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, m []byte) {
		if h, n, ok := parseNeighbour(m); ok && (!h.addr.IsValid() || h.link < 0) {
			t.Errorf("% x gives %+v %+v", m, h, n)
		}
		xdpFeatures(m)
	})
}

func TestXDPFeatures(t *testing.T) {
	header := genlHeader{netdevGet, netdevVersion}.Serialize()
	attr := func(kind int, data []byte) []byte { return nl.NewRtAttr(kind, data).Serialize() }
	tests := []struct {
		name   string
		answer []byte
		want   uint64
	}{
		{"nothing", nil, 0},
		{"a header only", header, 0},
		{"torn", append(header[:4:4], 12, 0, 3), 0},
		{"short", append(header[:4:4], attr(netdevXDPFeatures, []byte{7, 0, 0, 0})...), 0},
		{"another attribute", append(header[:4:4], attr(netdevIndex, nl.Uint64Attr(7))...), 0},
		{"features", append(header[:4:4], attr(netdevXDPFeatures, nl.Uint64Attr(7))...), 7},
	}
	for _, tt := range tests {
		if got := xdpFeatures(tt.answer); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
