package ebpf

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// BenchmarkPacket is the engine's time for one packet, by the kernel's
// test-run facility: the median of many short runs. "floor" is a frame that is
// no IP packet, so the difference to it is what the engine does. Machines are
// noisy: compare rows of one run, never runs.
func BenchmarkPacket(b *testing.B) {
	labtest.NeedRoot(b)
	e, err := sharedEngine()
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range benchRows {
		for _, door := range []string{progXDP, progIngress} {
			b.Run(row.name+"/"+map[string]string{progXDP: "xdp", progIngress: "tc"}[door], func(b *testing.B) {
				r := benchRig(b, e)
				packet := row.prepare(r)
				if door == progXDP {
					// Sent once, the frame bears the next hop's address: it
					// must be this host's too, to be taken the next time.
					copy(packet, nextMAC[:])
				}
				var times []time.Duration
				for b.Loop() {
					// A packet loses a hop each time it is sent, and has 64.
					_, d, err := e.program(door).Benchmark(packet, 50, nil)
					if err != nil {
						b.Fatal(err)
					}
					times = append(times, d)
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "ns/packet")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func benchRig(b *testing.B, e *engine) *benchStage {
	o := small
	if err := o.fill(); err != nil {
		b.Fatal(err)
	}
	empty(b, e)
	return &benchStage{b, over(e, o, testLog(b))}
}

// A benchStage puts services into an engine for a benchmark.
type benchStage struct {
	*testing.B
	plane *Plane
}

func (r *benchStage) serve(s lvs.Service) {
	r.plane.links[loopback] = lvs.Link{Index: loopback, XDPSend: true}
	labtest.Must(r, r.plane.write("ports", uint32(loopback), enginePort{Mac: nextMAC, Flags: portXDPSend | portAttached}))
	for _, d := range s.Destinations {
		a := d.Addr.Addr()
		r.plane.paths[a] = lvs.Path{Link: loopback, Via: a, MAC: nextMAC, Source: ownMAC, MTU: 1500, From: own4}
	}
	labtest.Must(r, r.plane.Put(r.Context(), s))
}

// establish sends what opens a connection, so that the packet that is measured
// belongs to a known one.
func (r *benchStage) establish(packets ...[]byte) {
	for _, p := range packets {
		_, _, err := r.plane.engine.program(progIngress).Test(p)
		labtest.Must(r, err)
	}
}

var benchRows = []struct {
	name    string
	prepare func(*benchStage) []byte
}{
	{"floor", func(*benchStage) []byte { return make([]byte, 64) }},
	{"not a service's", func(r *benchStage) []byte {
		r.serve(tcpService(lvs.WLC, lvs.DirectRoute, 3))
		return segment(client, netip.MustParseAddrPort("198.51.100.1:80"), "A")
	}},
	{"gate, established", func(r *benchStage) []byte {
		r.serve(tcpService(lvs.WLC, lvs.DirectRoute, 3))
		r.establish(segment(client, vip, "S"), segment(client, vip, "A"))
		return segment(client, vip, "A")
	}},
	{"gate IPv6, established", func(r *benchStage) []byte {
		r.serve(tcpService6(lvs.WLC, lvs.DirectRoute, 3))
		r.establish(segment(client6, vip6, "S"), segment(client6, vip6, "A"))
		return segment(client6, vip6, "A")
	}},
	{"gate UDP, known", func(r *benchStage) []byte {
		s := tcpService(lvs.WLC, lvs.DirectRoute, 3)
		s.Key.Protocol = lvs.UDP
		r.serve(s)
		r.establish(datagram(client, vip, "x"))
		return datagram(client, vip, "x")
	}},
	{"SYN again, half-open", func(r *benchStage) []byte {
		r.serve(tcpService(lvs.WLC, lvs.DirectRoute, 3))
		return segment(client, vip, "S")
	}},
}
