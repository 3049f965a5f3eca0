package ebpf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// doors are the ways real packets come in: tc with every offload on, XDP with
// what it needs.
var doors = []struct {
	mode  Mode
	wires lab.WireOptions
}{{TC, lab.WireOptions{}}, {XDP, lab.WireOptions{NoOffload: true}}}

func eachDoor(t *testing.T, ask func(s *stage)) {
	for _, d := range doors {
		t.Run(string(d.mode), func(t *testing.T) {
			s := newStage(t, Options{Mode: d.mode}, d.wires)
			ask(s)
		})
	}
}

// tellPaths tells the engine what a watcher would have found.
func (s *stage) tellPaths(change func(*lvs.Network)) {
	s.t.Helper()
	labtest.Must(s.t, s.Director.Do(func() error {
		n := s.resolved(s.network())
		if change != nil {
			change(&n)
		}
		return s.plane.Reach(s.t.Context(), n)
	}))
}

// A real server that is the director itself, by masq to another port and by
// gate, from and to its own stack.
func TestTheDirectorAsRealServer(t *testing.T) {
	eachDoor(t, func(s *stage) {
		serveOn(s, s.Director, "10.90.1.1:8080", "masq")
		serveOn(s, s.Director, "[fd90:1::1]:8080", "masq")
		serveOn(s, s.Director, "10.90.1.100:80", "gate")
		serveOn(s, s.Director, "[fd90:1::100]:80", "gate")
		own := []netip.Addr{lab.DirectorAddr, lab.DirectorAddr6}
		s.tellPaths(func(n *lvs.Network) {
			for _, a := range own {
				n.Paths[a] = lvs.Path{Local: true}
			}
		})
		for i, vip := range []netip.Addr{lab.VirtualAddr, lab.VirtualAddr6} {
			for _, d := range []lvs.Destination{
				{Addr: netip.AddrPortFrom(own[i], 8080), Forward: lvs.Masquerade, Weight: 1},
				{Addr: netip.AddrPortFrom(own[i], 80), Forward: lvs.DirectRoute, Weight: 1},
			} {
				svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip, 80)}, Scheduler: lvs.RR, Destinations: []lvs.Destination{d}}
				s.put(svc)
				want := map[lvs.Forwarding]string{lvs.Masquerade: "masq", lvs.DirectRoute: "gate"}[d.Forward]
				if got := s.get(s.client(), "http://"+svc.Key.Addr.String()); got != want {
					s.t.Errorf("%s by %s: %q", vip, d.Forward, got)
				}
				s.counted(svc)
				labtest.Must(s.t, s.plane.Drop(s.t.Context(), svc.Key))
			}
		}
	})
}

// counted checks that both directions of a service were seen.
func (s *stage) counted(svc lvs.Service) {
	s.t.Helper()
	var c lvs.ServiceCounters
	for range 40 { // the client's last segments may still be on their way
		totals, err := s.plane.Totals(s.t.Context())
		labtest.Must(s.t, err)
		if c = totals.Services[svc.Key]; c.Connections == 1 && c.InPackets >= 4 && c.OutPackets >= 3 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Errorf("%s counts %+v", svc.Key, c.Counters)
}

func serveOn(s *stage, h *lab.Host, addr, text string) {
	s.t.Helper()
	ln, err := h.Listen("tcp", addr)
	labtest.Must(s.t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}
	go srv.Serve(ln)
	s.t.Cleanup(func() { srv.Close() })
}

// A client that sends to a closed port of a masqueraded server must be told:
// the server's ICMP error crosses the director and is understood.
func TestErrorsReachTheClient(t *testing.T) {
	eachDoor(t, func(s *stage) {
		s.tellPaths(nil)
		for _, v6 := range []bool{false, true} {
			svc := service(lvs.UDP, v6, lvs.Masquerade, 99) // nobody listens on 8099
			s.put(svc)
			conn, err := s.Client.Dial(s.t.Context(), "udp", svc.Key.Addr.String())
			labtest.Must(s.t, err)
			conn.SetDeadline(time.Now().Add(3 * time.Second))
			conn.Write([]byte("anybody?"))
			_, err = conn.Read(make([]byte, 10))
			if !errors.Is(err, syscall.ECONNREFUSED) {
				s.t.Errorf("v6=%v: the client heard %v, want connection refused", v6, err)
			}
			conn.Close()
		}
	})
}

// A service without any real server refuses at once, by ICMP.
func TestNobodyLeft(t *testing.T) {
	eachDoor(t, func(s *stage) {
		for _, v6 := range []bool{false, true} {
			svc := service(lvs.TCP, v6, lvs.Masquerade, 80)
			svc.Destinations = nil
			s.put(svc)
			_, err := s.Client.Dial(s.t.Context(), "tcp", svc.Key.Addr.String())
			if !errors.Is(err, syscall.ECONNREFUSED) {
				s.t.Errorf("v6=%v: %v, want connection refused", v6, err)
			}
		}
	})
}

// The way to the real servers takes smaller packets than the client's network:
// the client must learn it and its upload arrive whole.
func TestPathMTU(t *testing.T) {
	eachDoor(t, func(s *stage) {
		for _, real := range s.Real {
			takeUploads(s, real)
		}
		s.tellPaths(func(n *lvs.Network) {
			for a, p := range n.Paths {
				p.MTU = 1300
				n.Paths[a] = p
			}
		})
		for _, v6 := range []bool{false, true} {
			for _, f := range []lvs.Forwarding{lvs.Masquerade, lvs.DirectRoute} {
				svc := service(lvs.TCP, v6, f, 81)
				s.put(svc)
				res, err := s.client().Post(fmt.Sprintf("http://%s/", svc.Key.Addr), "", bytes.NewReader(large[:1<<20]))
				labtest.Must(s.t, err)
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != fmt.Sprint(1<<20) {
					s.t.Errorf("v6=%v %s: the server got %s bytes", v6, f, body)
				}
				labtest.Must(s.t, s.plane.Drop(s.t.Context(), svc.Key))
			}
		}
		if n := s.verdict("too-big"); n == 0 {
			s.t.Error("no packet was too big; the test shows nothing")
		}
	})
}

func (s *stage) verdict(name string) uint64 {
	totals, err := s.plane.Totals(s.t.Context())
	labtest.Must(s.t, err)
	for _, v := range totals.Verdicts {
		if v.Name == name {
			return v.Packets
		}
	}
	s.t.Fatalf("no verdict %q", name)
	return 0
}

// takeUploads answers how many bytes it was sent: on port 81 for gate, on 8081
// for masq.
func takeUploads(s *stage, h *lab.Host) {
	for _, addr := range []string{":81", ":8081"} {
		ln, err := h.Listen("tcp", addr)
		labtest.Must(s.t, err)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		})}
		go srv.Serve(ln)
		s.t.Cleanup(func() { srv.Close() })
	}
}

// An engine that is opened again finds what the last one left: services,
// order, connections; and hangs its fresh programs in place of the old ones
// without a gap.
func TestAdoption(t *testing.T) {
	eachDoor(t, func(s *stage) {
		s.tellPaths(nil)
		svc := service(lvs.TCP, false, lvs.Masquerade, 80)
		svc.Scheduler, svc.Destinations[0].Weight = lvs.WRR, 3
		s.put(svc)
		c := s.client()
		c.Transport.(*http.Transport).DisableKeepAlives = false
		before := s.get(c, "http://"+svc.Key.Addr.String())
		labtest.Must(s.t, s.plane.Close())
		if got := s.get(c, "http://"+svc.Key.Addr.String()); got != before {
			s.t.Errorf("without an engine's process: %q, want %q", got, before)
		}
		s.start(Options{Mode: s.plane.opts.Mode})
		if !s.plane.Adopted() {
			s.t.Fatal("nothing was adopted")
		}
		for got, err := range s.plane.Installed(s.t.Context()) {
			labtest.Must(s.t, err)
			if !got.Equal(svc) {
				s.t.Errorf("adopted %v, want %v", got.Lines(), svc.Lines())
			}
		}
		writes := s.plane.Writes()
		s.put(svc)
		if n := s.plane.Writes() - writes; n != 0 {
			s.t.Errorf("the same service again wrote %d times", n)
		}
		s.tellPaths(nil)
		if got := s.get(c, "http://"+svc.Key.Addr.String()); got != before {
			s.t.Errorf("after adoption: %q, want %q", got, before)
		}
		running := func() (is bool) {
			labtest.Must(s.t, s.Director.Do(func() (err error) {
				is, err = Running()
				return err
			}))
			return is
		}
		if !running() {
			s.t.Error("the engine does not count as running")
		}
		labtest.Must(s.t, s.Director.Do(Remove))
		if running() {
			s.t.Error("what was removed counts as running")
		}
		labtest.Must(s.t, s.Director.Do(func() error {
			left, err := hangings()
			if len(left) != 0 {
				return fmt.Errorf("left hanging: %v", left)
			}
			return err
		}))
	})
}

// Only frames that the stack would deliver are taken: a VLAN's on the VLAN's
// own interface. The engine sees its tag and lets it pass.
func TestTaggedFramesPass(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	plain := segment(client, vip, "S")
	tagged := append(append(append([]byte{}, plain[:12]...), 0x81, 0, 0, 10), plain[12:]...)
	for _, door := range []string{progIngress, progXDP} {
		if f := r.through(door, tagged); f.verdict == "forwarded" || !bytes.Equal(f.out, tagged) {
			t.Errorf("%s: verdict %q", door, f.verdict)
		}
	}
}

// With cache_bypass a mark nobody serves is no obstacle: its packets go where
// they were sent. Without, the client is told that nobody is there.
func TestCacheBypass(t *testing.T) {
	eachDoor(t, func(s *stage) {
		s.tellPaths(nil)
		origin := netip.AddrPortFrom(lab.RealAddr(0), 8080)
		caches := lvs.Service{Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}, Scheduler: lvs.LBLC}
		s.put(caches)
		tuning := lvs.DefaultTuning()
		tuning.Rules = []lvs.Rule{{Mark: 7, Protocol: lvs.TCP, To: netip.PrefixFrom(origin.Addr(), 32), Ports: lvs.PortRange{First: 8080, Last: 8080}}}
		ask := func() error {
			c, err := s.Client.Dial(t.Context(), "tcp", origin.String())
			if err == nil {
				c.Close()
			}
			return err
		}
		labtest.Must(t, s.plane.Tune(t.Context(), tuning))
		if err := ask(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without cache_bypass: %v", err)
		}
		tuning.Sysctls[lvs.CacheBypass] = 1
		labtest.Must(t, s.plane.Tune(t.Context(), tuning))
		if err := ask(); err != nil {
			t.Errorf("with cache_bypass: %v", err)
		}
		if s.verdict("bypassed") == 0 {
			t.Error("nothing was bypassed")
		}
	})
}
