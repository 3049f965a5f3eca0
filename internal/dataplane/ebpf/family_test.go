package ebpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestTablesOfFamilies: the connections of each family find their places in
// its own tables, whatever the size of the other's, the half-open ones among
// them. A hash taken for the size of the larger would lead out of the smaller.
func TestTablesOfFamilies(t *testing.T) {
	r := newRig(t)
	four, six := tcpService(lvs.RR, lvs.DirectRoute, 3), tcpService6(lvs.RR, lvs.DirectRoute, 3)
	r.reach(1500, false, four, six)
	r.put(four)
	r.put(six)
	const clients = 250 // what the smaller table has room for in half of its buckets' homes
	for i := range clients {
		for _, c := range []struct{ from, to netip.AddrPort }{{client, vip}, {client6, vip6}} {
			raw := c.from.Addr().AsSlice()
			binary.BigEndian.PutUint16(raw[len(raw)-2:], uint16(i))
			addr, _ := netip.AddrFromSlice(raw)
			from := netip.AddrPortFrom(addr, c.from.Port())
			for _, f := range []flags{"S", "A"} {
				if got := r.ingress(segment(from, c.to, f)); got.verdict != "forwarded" {
					t.Fatalf("%v, %s: %s", from, f, got.verdict)
				}
			}
		}
	}
	// One without a place in its table would stay among the half-open ones.
	if use := r.sweepAll(); use.Used != 2*clients || use.Half != 0 {
		t.Errorf("%d connections, %d of them half-open, want %d and none", use.Used, use.Half, 2*clients)
	}
	r.agree()
}
