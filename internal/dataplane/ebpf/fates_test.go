package ebpf

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket/layers"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// elsewhere are the fates that need more than one made-up packet, and the test
// that brings each about.
var elsewhere = map[string]string{
	"replied":        "TestFatesOfAnswers",
	"replied-local":  "TestTheDirectorAsRealServer",
	"icmp-forwarded": "TestErrorsReachTheClient",
	"forwarding-off": "TestFatesOfAnswers",
	"icmp-limited":   "TestNoErrorsWithoutEnd",
	"bypassed":       "TestCacheBypass",
	"tunnel-error":   "the oracle's g3 scenarios",
	"helper-failed":  "nothing: memory for packets would have to be short",
}

// TestEveryFate brings every fate a packet can have about.
func TestEveryFate(t *testing.T) {
	real := netip.MustParseAddrPort("10.1.0.1:8080")
	recipes := map[string]func(*rig) []byte{
		"not-ours":  func(*rig) []byte { return segment(client, netip.MustParseAddrPort("192.0.2.77:80"), "S") },
		"malformed": func(*rig) []byte { f := segment(client, vip, "S"); return f[:len(f)-3] },
		"no-service": func(*rig) []byte {
			return segment(client, netip.AddrPortFrom(vip.Addr(), 81), "S")
		},
		"not-opening": func(*rig) []byte { return segment(client, vip, "A") },
		"deferred": func(r *rig) []byte {
			r.ingress(segment(client, vip, "S"))
			return segment(r.conns()[0].Destination, client, "SA", func(ip *layers.IPv4) { ip.TTL = 1 })
		},
		"forwarded": func(*rig) []byte { return segment(client, vip, "S") },
		"local": func(r *rig) []byte {
			svc := tcpService(lvs.RR, lvs.Masquerade, 1)
			svc.Key.Addr = netip.MustParseAddrPort("192.0.2.2:80")
			svc.Destinations[0].Addr = netip.MustParseAddrPort("192.0.2.3:8080")
			r.reach(1500, true, svc)
			r.put(svc)
			return segment(client, svc.Key.Addr, "S")
		},
		"no-destination": func(r *rig) []byte { r.put(tcpService(lvs.RR, lvs.Masquerade, 0)); return segment(client, vip, "S") },
		"ttl-exceeded":   func(*rig) []byte { return segment(client, vip, "S", func(ip *layers.IPv4) { ip.TTL = 1 }) },
		"too-big":        func(r *rig) []byte { return datagram(client, r.udp(1), string(make([]byte, 1600))) },
		"destination-gone": func(r *rig) []byte {
			r.ingress(segment(client, vip, "S"))
			r.ingress(segment(client, vip, "A"))
			r.put(tcpService(lvs.RR, lvs.Masquerade, 0))
			return segment(client, vip, "A")
		},
		"table-full": func(r *rig) []byte {
			to, out := r.udp(1), make([]byte, 4096)
			for n := range 20_000 {
				r.plane.engine.program(progIngress).Run(&ebpf.RunOptions{Data: datagram(netip.AddrPortFrom(client.Addr(), uint16(1024+n)), to, "x"), DataOut: out})
			}
			return datagram(netip.AddrPortFrom(client.Addr(), 999), to, "x")
		},
		"no-route": func(r *rig) []byte {
			svc := tcpService(lvs.RR, lvs.Masquerade, 1)
			svc.Key.Addr = netip.MustParseAddrPort("192.0.2.2:80")
			svc.Destinations[0].Addr = netip.MustParseAddrPort("240.9.9.9:80")
			r.put(svc)
			return segment(client, svc.Key.Addr, "S")
		},
		"unreachable": func(r *rig) []byte {
			svc := tcpService(lvs.RR, lvs.Masquerade, 1)
			svc.Key.Addr = netip.MustParseAddrPort("192.0.2.2:80")
			svc.Destinations[0].Addr = netip.MustParseAddrPort("240.9.9.9:80")
			r.plane.paths[svc.Destinations[0].Addr.Addr()] = lvs.Path{Trouble: lvs.NoRoute}
			r.put(svc)
			return segment(client, svc.Key.Addr, "S")
		},
		"fragment-lost": func(*rig) []byte { return segment(client, vip, "S", func(ip *layers.IPv4) { ip.FragOffset = 9 }) },
		"loopback": func(r *rig) []byte {
			svc := tcpService(lvs.RR, lvs.Masquerade, 1)
			svc.Key.Addr = netip.MustParseAddrPort("192.0.2.2:80")
			svc.Destinations[0].Addr = netip.MustParseAddrPort("127.0.0.1:80")
			r.put(svc)
			return segment(client, svc.Key.Addr, "S")
		},
		"throttled": func(r *rig) []byte {
			r.sysctl(lvs.DropPacket, 3)
			return segment(client, vip, "S")
		},
		"no-call-id": func(r *rig) []byte {
			svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.UDP, Addr: vip}, Scheduler: lvs.RR,
				Persistence:  lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(lvs.IPv4, 32), Engine: "sip"},
				Destinations: []lvs.Destination{{Addr: real, Forward: lvs.Masquerade, Weight: 1}}}
			r.reach(1500, false, svc)
			r.put(svc)
			return datagram(client, vip, "OPTIONS sip:a SIP/2.0\r\n\r\n")
		},
		"stray": func(r *rig) []byte {
			r.sysctl(lvs.NatICMPSend, 1)
			return segment(r.firstReal(), client, "A")
		},
	}
	for _, v := range verdictNames {
		if v.Name == "" || elsewhere[v.Name] != "" {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			recipe := recipes[v.Name]
			if recipe == nil {
				t.Fatal("nothing brings this fate about")
			}
			r := newRig(t)
			svc := tcpService(lvs.RR, lvs.Masquerade, 2)
			r.reach(1500, false, svc)
			r.put(svc)
			if f := r.ingress(recipe(r)); f.verdict != v.Name {
				t.Errorf("%q", f.verdict)
			}
		})
	}
}

// udp adds a service for datagrams.
func (r *rig) udp(n int) netip.AddrPort {
	r.Helper()
	svc := tcpService(lvs.RR, lvs.Masquerade, n)
	svc.Key = lvs.ServiceKey{Protocol: lvs.UDP, Addr: vip}
	r.reach(1500, false, svc)
	r.put(svc)
	return vip
}

func (r *rig) sysctl(s lvs.Sysctl, value int) {
	r.Helper()
	tuning := lvs.DefaultTuning()
	tuning.Sysctls[s] = value
	labtest.Must(r.T, r.plane.Tune(r.Context(), tuning))
}

func (r *rig) firstReal() netip.AddrPort {
	for s := range r.plane.Installed(r.Context()) {
		return s.Destinations[0].Addr
	}
	r.Fatal("no service")
	return netip.AddrPort{}
}

// Answers are routed by the kernel, if it is allowed to route.
func TestFatesOfAnswers(t *testing.T) {
	eachDoor(t, func(s *stage) {
		s.tellPaths(nil)
		s.put(service(lvs.TCP, false, lvs.Masquerade, 80))
		if got := s.get(s.client(), "http://"+lab.VirtualAddr.String()); got == "" {
			t.Error("no answer")
		}
		if s.verdict("replied") == 0 {
			t.Error("no answer was counted")
		}
		labtest.Must(t, s.Director.Sysctl("net/ipv4/ip_forward", "0"))
		defer s.Director.Sysctl("net/ipv4/ip_forward", "1")
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if c, err := s.Client.Dial(ctx, "tcp", lab.VirtualAddr.String()+":80"); err == nil {
			c.Close()
			t.Error("an answer came through a director that does not route")
		}
		if s.verdict("forwarding-off") == 0 {
			t.Error("forwarding-off was not counted")
		}
	})
}
