package ebpf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// These tests send real TCP and UDP through a director of namespaces; see
// lab.Cluster for the drawing.

// A stage is a cluster with an engine on its director.
type stage struct {
	*lab.Cluster
	t     *testing.T
	plane *Plane
	port  *uint16 // the client sent its last datagram from
}

func newStage(t *testing.T, o Options, wires lab.WireOptions) *stage {
	t.Helper()
	s := &stage{Cluster: labtest.NewCluster(t, 2, wires), t: t, port: new(uint16)}
	*s.port = 20000 // below those the kernel chooses
	s.start(o)
	for i, real := range s.Real {
		serveHTTP(t, real, fmt.Sprintf("real%d", i+1))
		echoUDP(t, real, fmt.Sprintf("real%d", i+1))
	}
	return s
}

// start opens the engine in the director's namespace and attaches it.
func (s *stage) start(o Options) {
	s.t.Helper()
	o.Connections, o.HalfOpen, o.Wide, o.Services, o.Destinations = small.Connections, small.HalfOpen, small.Wide, small.Services, small.Destinations
	labtest.Must(s.t, s.Director.Do(func() (err error) {
		if s.plane, err = Open(o, testLog(s.t)); err != nil {
			return err
		}
		return s.plane.Reach(s.t.Context(), s.network())
	}))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.tell()
		}
		s.plane.Close()
	})
}

// tell shows what became of the packets.
func (s *stage) tell() {
	totals, err := s.plane.Totals(context.Background())
	s.t.Log(err)
	for _, v := range totals.Verdicts {
		if v.Packets > 0 {
			s.t.Logf("%8d %s", v.Packets, v.Name)
		}
	}
	for c := range s.plane.Connections(context.Background(), lvs.ConnectionFilter{}) {
		s.t.Logf("%+v", c)
	}
}

// network is what a watcher would tell; without paths, so that the engine
// asks the kernel, unless resolve has found them.
func (s *stage) network() lvs.Network {
	var n lvs.Network
	for _, name := range []string{"front", "back"} {
		i, err := net.InterfaceByName(name)
		labtest.Must(s.t, err)
		n.Links = append(n.Links, lvs.Link{Index: i.Index, Name: name, MAC: [6]byte(i.HardwareAddr), MTU: i.MTU, Kind: "veth", XDPSend: true})
	}
	return n
}

// resolved adds the paths to the real servers.
func (s *stage) resolved(n lvs.Network) lvs.Network {
	n.Paths = make(map[netip.Addr]lvs.Path)
	back := n.Links[1]
	for i, real := range s.Real {
		mac, err := real.MAC("eth0")
		labtest.Must(s.t, err)
		for _, a := range []netip.Addr{lab.RealAddr(i), lab.RealAddr6(i)} {
			n.Paths[a] = lvs.Path{Link: back.Index, Via: a, MAC: [6]byte(mac), Source: back.MAC, MTU: back.MTU}
		}
	}
	return n
}

func (s *stage) put(svc lvs.Service) {
	s.t.Helper()
	labtest.Must(s.t, s.plane.Put(s.t.Context(), svc))
}

func service(p lvs.Protocol, v6 bool, f lvs.Forwarding, port uint16) lvs.Service {
	vip := lab.VirtualAddr
	if v6 {
		vip = lab.VirtualAddr6
	}
	s := lvs.Service{Key: lvs.ServiceKey{Protocol: p, Addr: netip.AddrPortFrom(vip, port)}, Scheduler: lvs.RR}
	for i := range 2 {
		real := lab.RealAddr(i)
		if v6 {
			real = lab.RealAddr6(i)
		}
		rport := port
		if f == lvs.Masquerade {
			rport = 8000 + port%1000
		}
		s.Destinations = append(s.Destinations, lvs.Destination{Addr: netip.AddrPortFrom(real, rport), Forward: f, Weight: 1})
	}
	return s
}

// serveHTTP answers with the server's name on ports 80 and 8080, and with a
// large body under /large.
func serveHTTP(t *testing.T, h *lab.Host, name string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { w.Write(large) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) })
	for _, addr := range []string{":80", ":8080"} {
		ln, err := h.Listen("tcp", addr)
		labtest.Must(t, err)
		srv := &http.Server{Handler: mux}
		go srv.Serve(ln)
		t.Cleanup(func() { srv.Close() })
	}
}

var large = bytes.Repeat([]byte("weir carries this intact. 0123456789 abcdefghijklmnopqrstuvwxyz\n"), 20<<20/64)

// echoUDP answers datagrams with the server's name: on the service's address
// for gate, on any with port 8053 for masq.
func echoUDP(t *testing.T, h *lab.Host, name string) {
	t.Helper()
	for _, addr := range []string{"10.90.1.100:53", "[fd90:1::100]:53", ":8053"} {
		pc, err := h.ListenPacket("udp", addr)
		labtest.Must(t, err)
		t.Cleanup(func() { pc.Close() })
		go func() {
			buf := make([]byte, 65536)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				pc.WriteTo(append([]byte(name+" "), buf[:n]...), from)
			}
		}()
	}
}

// client makes HTTP requests from the client's namespace, each on a
// connection of its own.
func (s *stage) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return s.Client.Dial(ctx, network, addr)
		},
	}}
}

func (s *stage) get(c *http.Client, url string) string {
	s.t.Helper()
	res, err := c.Get(url)
	labtest.Must(s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	labtest.Must(s.t, err)
	return string(body)
}

func TestTraffic(t *testing.T) {
	for _, door := range []struct {
		mode     Mode
		resolved bool
		wires    lab.WireOptions
	}{
		{TC, false, lab.WireOptions{}},
		{TC, true, lab.WireOptions{}},
		{XDP, true, lab.WireOptions{NoOffload: true}},
	} {
		t.Run(fmt.Sprintf("%s resolved=%v", door.mode, door.resolved), func(t *testing.T) {
			s := newStage(t, Options{Mode: door.mode}, door.wires)
			if door.resolved {
				labtest.Must(t, s.Director.Do(func() error { return s.plane.Reach(t.Context(), s.resolved(s.network())) }))
			}
			s.everything()
		})
	}
}

func (s *stage) everything() {
	for _, f := range []lvs.Forwarding{lvs.Masquerade, lvs.DirectRoute} {
		for _, v6 := range []bool{false, true} {
			name := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
			s.t.Run(fmt.Sprintf("%s %s", f, name), func(t *testing.T) {
				on := *s
				on.t = t
				on.tcp(f, v6)
				on.udp(f, v6)
			})
		}
	}
}

func (s *stage) tcp(f lvs.Forwarding, v6 bool) {
	svc := service(lvs.TCP, v6, f, 80)
	s.put(svc)
	defer s.plane.Drop(s.t.Context(), svc.Key)
	c, url := s.client(), "http://"+svc.Key.Addr.String()
	seen := make(map[string]int)
	for range 20 {
		seen[s.get(c, url)]++
	}
	if seen["real1"] != 10 || seen["real2"] != 10 {
		s.t.Errorf("rr over two servers: %v", seen)
	}
	if got := s.get(c, url+"/large"); sha256.Sum256([]byte(got)) != sha256.Sum256(large) {
		s.t.Errorf("a large answer was changed on the way: %d bytes, want %d", len(got), len(large))
	}
}

func (s *stage) udp(f lvs.Forwarding, v6 bool) {
	svc := service(lvs.UDP, v6, f, 53)
	s.put(svc)
	defer s.plane.Drop(s.t.Context(), svc.Key)
	seen := make(map[string]int)
	for range 10 {
		for _, size := range []int{0, 1, 1400, 6000} {
			seen[s.datagram(svc.Key.Addr, size)]++
		}
	}
	if seen["real1"] != 20 || seen["real2"] != 20 {
		s.t.Errorf("rr over two servers: %v", seen)
	}
}

// datagram sends one and returns who answered; the answer must be whole.
func (s *stage) datagram(to netip.AddrPort, size int) string {
	s.t.Helper()
	// A port used twice would belong to the first one's connection.
	*s.port++
	var conn net.Conn
	labtest.Must(s.t, s.Client.Do(func() (err error) {
		conn, err = net.DialUDP("udp", &net.UDPAddr{Port: int(*s.port)}, net.UDPAddrFromAddrPort(to))
		return err
	}))
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	question := bytes.Repeat([]byte("x"), size)
	_, err := conn.Write(question)
	labtest.Must(s.t, err)
	buf := make([]byte, 65536)
	n, err := conn.Read(buf)
	labtest.Must(s.t, err)
	name, body, _ := bytes.Cut(buf[:n], []byte(" "))
	if !bytes.Equal(body, question) {
		s.t.Errorf("a datagram of %d bytes was changed on the way", size)
	}
	return string(name)
}
