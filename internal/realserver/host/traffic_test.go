package host

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/realserver"
)

// The ways of one packet to a real server, and the port that names each.
var ways = []struct {
	name  string
	dest  lvs.Destination
	wish  realserver.Method
	mixes bool // the real server's address may be of the other family
}{
	{"gate", lvs.Destination{Forward: lvs.DirectRoute}, realserver.Gate, false},
	{"ipip", lvs.Destination{Forward: lvs.Tunnel}, realserver.IPIP, true},
	{"gue", lvs.Destination{Forward: lvs.Tunnel, Encap: lvs.Encap{Type: lvs.GUE, Port: 6080}}, realserver.GUE, true},
	{"gue csum", lvs.Destination{Forward: lvs.Tunnel, Encap: lvs.Encap{Type: lvs.GUE, Port: 6080, Checksum: lvs.Checksum}}, realserver.GUE, true},
	{"gre", lvs.Destination{Forward: lvs.Tunnel, Encap: lvs.Encap{Type: lvs.GRE}}, realserver.GRE, true},
	{"gre csum", lvs.Destination{Forward: lvs.Tunnel, Encap: lvs.Encap{Type: lvs.GRE, Checksum: lvs.Checksum}}, realserver.GRE, true},
}

// amount is 100 MB for one mix of families and less for the others, and for a
// guest that is emulated (-short).
func amount(vip, real netip.Addr) int64 {
	switch {
	case testing.Short():
		return 1 << 20
	case vip.Is4() && real.Is4():
		return 100 << 20
	}
	return 8 << 20
}

// TestTransfers sends bodies through every method, every mix of families and
// every door of the director, to a real server that was prepared by Up alone.
func TestTransfers(t *testing.T) {
	for _, door := range []struct {
		mode  ebpf.Mode
		wires lab.WireOptions
	}{
		{ebpf.TC, lab.WireOptions{}}, // segments of 64 KB, checksums unfinished
		{ebpf.TC, lab.WireOptions{NoOffload: true}},
		{ebpf.XDP, lab.WireOptions{NoOffload: true}},
	} {
		t.Run(fmt.Sprintf("%s offload=%v", door.mode, !door.wires.NoOffload), func(t *testing.T) {
			r := newRig(t, 1, door.wires)
			rep := r.up(0, realserver.Wish{VIPs: both, Methods: realserver.Methods, Port: 6080})
			if realserver.Bad(rep.Requirements) {
				t.Fatalf("after up: %+v", rep.Requirements)
			}
			r.direct(door.mode)
			port := uint16(8000)
			for _, w := range ways {
				for _, vip := range both {
					for _, real := range []netip.Addr{lab.RealAddr(0), lab.RealAddr6(0)} {
						if vip.Is6() != real.Is6() && !w.mixes {
							continue
						}
						port++
						s := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip, port)}, Scheduler: lvs.RR}
						d := w.dest
						d.Addr, d.Weight = netip.AddrPortFrom(real, port), 1
						s.Destinations = []lvs.Destination{d}
						t.Run(fmt.Sprintf("%s %s to %s", w.name, vip, real), func(t *testing.T) {
							if err := r.plane.Put(t.Context(), s); err != nil {
								t.Fatal(err)
							}
							r.serve(0, port)
							r.exchange(t, s.Key.Addr, amount(vip, real))
						})
					}
				}
			}
			r.tell(t)
		})
	}
}

// throughIPIP sends a body through IPv4 in IPv4.
func (r *rig) throughIPIP(t *testing.T) {
	t.Helper()
	to := netip.AddrPortFrom(lab.VirtualAddr, 8000)
	r.direct(ebpf.TC, lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: to}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: netip.AddrPortFrom(lab.RealAddr(0), 8000), Forward: lvs.Tunnel, Weight: 1}}})
	r.serve(0, 8000)
	r.exchange(t, to, 1<<20)
}
