package journey

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// A flood comes from a million addresses. The table is asked for with so many
// entries, and has twice as many for connections, in fact; half-open ones have
// a quarter of the places they have by default.
const (
	foes     = 1 << 20
	entries  = 25_000
	halfOpen = 1 << 16
)

var foesNet = netip.MustParsePrefix("172.16.0.0/12")

// TestSYNFlood has a million addresses open connections they do not mean, to
// services by masq and by gate, with a table for a tenth of them. Meanwhile
// a client asks again and again, with a connection for each request and with one
// for all, and every request is answered. Then some of them pretend to have been
// answered, too, until the table is full of connections: those that were open
// before live on.
func TestSYNFlood(t *testing.T) {
	nginx := need(t, "nginx")
	labtest.NeedRoot(t)
	weir := program(t)
	throughDoors(t, 1, func(t *testing.T, c *lab.Cluster, mode string) {
		// Answers to them lead to the client, who has no such address.
		labtest.Must(t, c.Director.Route(foesNet, lab.ClientAddr))
		dir := t.TempDir()
		serve(t, c.Real[0], nginx, dir)
		direct(t, c.Director, weir, dir, mode, fmt.Sprintf("engine: {connections: %d, half_open: %d}\n", entries, halfOpen))
		s := siege{Cluster: c, weir: weir, socket: filepath.Join(dir, "weir.sock")}
		for _, w := range ways() {
			if w.vip == lab.VirtualAddr && (w.forward == "masq" || w.forward == "gate") {
				s.at = append(s.at, netip.AddrPortFrom(w.vip, uint16(w.port)))
			}
		}
		for i := range 20 {
			s.old = append(s.old, keeping(c.Client))
			labtest.Must(t, hello(t.Context(), s.old[i], s.at[i%len(s.at)]))
		}
		s.open(t)
		s.fill(t)
		for i, o := range s.old {
			if err := hello(t.Context(), o, s.at[i%len(s.at)]); err != nil {
				t.Errorf("connection %d from before the flood: %v", i, err)
			}
		}
	})
}

// A siege is a cluster in a flood.
type siege struct {
	*lab.Cluster
	weir, socket string
	at           []netip.AddrPort // the services
	old          []*http.Client   // with a connection each, from before
}

// open has every foe open a connection.
func (s siege) open(t *testing.T) {
	t.Helper()
	before := resent(t, s.Client)
	asked := during(t, func() { flood(t, s.Cluster, s.at, foes, flagSYN) }, []asker{{"a new connection each", s.anew}, {"one connection", s.again}})
	got := totalsOf(t, s.Director, s.weir, s.socket)
	t.Logf("%d SYN: %v requests answered, %d segments sent again; %v", foes, asked, resent(t, s.Client)-before, got)
	if got["forwarded"] < foes-foes/8 { // a busy machine loses some on the way
		t.Errorf("%d packets were forwarded; the flood did not arrive", got["forwarded"])
	}
}

// fill has foes pretend to have been answered, until there is no more room.
func (s siege) fill(t *testing.T) {
	t.Helper()
	const places = 2*entries + halfOpen
	before := resent(t, s.Client)
	// Half-open ones end after a minute, which a busy machine takes, so they do
	// not count; and what of the others was lost on the way comes again.
	const full = places - halfOpen
	known := 0
	asked := during(t, func() {
		for round := 0; round < 4 && known < full-full/20; round++ {
			flood(t, s.Cluster, s.at, places+places/8, flagSYN, flagACK)
			known = connectionsOf(t, s.Director, s.weir, s.socket)
		}
	}, []asker{{"one connection", s.again}})
	t.Logf("as many connections as there is room for: %v requests answered, %d segments sent again; %d known; %v",
		asked, resent(t, s.Client)-before, known, totalsOf(t, s.Director, s.weir, s.socket))
	if known < full-full/20 {
		t.Errorf("%d connections are known that are not half-open; the table, with room for %d, is not full", known, full)
	}
}

// anew asks over a new connection.
func (s siege) anew(ctx context.Context, n int) error {
	return hello(ctx, once(s.Client), s.at[n%len(s.at)])
}

// again asks over the first of the old ones.
func (s siege) again(ctx context.Context, _ int) error { return hello(ctx, s.old[0], s.at[0]) }

const (
	flagSYN = 0x02
	flagACK = 0x10
)

// An asker asks until the flood is over.
type asker struct {
	name string
	ask  func(ctx context.Context, n int) error
}

// during lets askers ask while fn runs, and is how often they were answered.
// Every time, or the test fails.
func during(t *testing.T, fn func(), askers []asker) (answered []int) {
	t.Helper()
	answered = make([]int, len(askers))
	over := make(chan struct{})
	ended := make(chan struct{}, len(askers))
	for i, a := range askers {
		go func() {
			defer func() { ended <- struct{}{} }()
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				if err := a.ask(t.Context(), n); err != nil {
					t.Errorf("%s: request %d: %v", a.name, n, err)
					return
				}
				answered[i]++
			}
		}()
	}
	fn()
	close(over)
	for range askers {
		<-ended
	}
	for i, a := range askers {
		if answered[i] == 0 {
			t.Errorf("%s: nothing was asked while it lasted", a.name)
		}
	}
	return answered
}

// once makes a connection for each request.
func once(h *lab.Host) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: h.Dial}}
}

// keeping is a client with one connection, which it makes for its first request
// and never again. The library's transport gives a connection up that is well,
// when it could not make sure within 50 ms that a request had been written.
func keeping(h *lab.Host) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &kept{host: h}}
}

// A kept carries requests one after the other over one connection.
type kept struct {
	host *lab.Host
	conn net.Conn
	in   *bufio.Reader
}

func (k *kept) RoundTrip(req *http.Request) (*http.Response, error) {
	if k.conn == nil {
		c, err := k.host.Dial(req.Context(), "tcp", req.URL.Host)
		if err != nil {
			return nil, err
		}
		k.conn, k.in = c, bufio.NewReader(c)
	}
	until, _ := req.Context().Deadline() // none: without end
	if err := k.conn.SetDeadline(until); err != nil {
		return nil, err
	}
	if err := req.Write(k.conn); err != nil {
		return nil, fmt.Errorf("the connection was lost: %w", err)
	}
	res, err := http.ReadResponse(k.in, req)
	if err != nil {
		return nil, fmt.Errorf("the connection was lost: %w", err)
	}
	return res, nil
}

func hello(ctx context.Context, c *http.Client, at netip.AddrPort) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/hello", at), nil)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && string(text) != "hello" {
		err = fmt.Errorf("%s: %q", res.Status, text)
	}
	return err
}

// flood sends segments with the given flags from each of the first n foes.
func flood(t *testing.T, c *lab.Cluster, at []netip.AddrPort, n uint32, flags ...uint8) {
	t.Helper()
	src, err := c.Client.MAC("eth0")
	labtest.Must(t, err)
	dst, err := c.Director.MAC("front")
	labtest.Must(t, err)
	var fd int
	labtest.Must(t, c.Client.Do(func() (err error) {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: eth0.Index})
	}))
	defer unix.Close(fd)
	eth := layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetTypeIPv4}
	first := binary.BigEndian.Uint32(foesNet.Addr().AsSlice())
	buf := gopacket.NewSerializeBuffer()
	for i := range n {
		from := binary.BigEndian.AppendUint32(nil, first+i)
		for _, f := range flags {
			labtest.Must(t, segment(buf, &eth, from, uint16(1024+i%50000), at[i%uint32(len(at))], f))
			if _, err := unix.Write(fd, buf.Bytes()); err != nil && err != unix.ENOBUFS {
				t.Fatal(err)
			}
		}
		// A wire has an end, too: what the client says must find room on it.
		if i%(128/uint32(len(flags))) == 0 {
			time.Sleep(500 * time.Microsecond)
		}
	}
}

// segment writes one of TCP without data.
func segment(buf gopacket.SerializeBuffer, eth *layers.Ethernet, from net.IP, port uint16, to netip.AddrPort, flags uint8) error {
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from, DstIP: to.Addr().AsSlice()}
	tcp := layers.TCP{SrcPort: layers.TCPPort(port), DstPort: layers.TCPPort(to.Port()), Seq: 1000, Window: 65535, SYN: flags&flagSYN != 0, ACK: flags&flagACK != 0}
	if err := tcp.SetNetworkLayerForChecksum(&ip); err != nil {
		return err
	}
	return gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, &ip, &tcp)
}

// totalsOf is what became of packets, by name.
func totalsOf(t *testing.T, director *lab.Host, weir, socket string) map[string]uint64 {
	t.Helper()
	out, err := director.Command(t.Context(), weir, "totals", "--json", "--socket", socket).Output()
	labtest.Must(t, err)
	var answer struct {
		Verdicts []struct {
			Name    string
			Packets uint64
		}
	}
	labtest.Must(t, json.Unmarshal(out, &answer))
	all := make(map[string]uint64)
	for _, v := range answer.Verdicts {
		if v.Packets > 0 {
			all[v.Name] = v.Packets
		}
	}
	return all
}

// connectionsOf is how many connections are known that are not half-open.
func connectionsOf(t *testing.T, director *lab.Host, weir, socket string) int {
	t.Helper()
	out, err := director.Command(t.Context(), weir, "status", "--json", "--socket", socket).Output()
	labtest.Must(t, err)
	var status struct {
		Connections struct {
			Used int `json:"used"`
			Half int `json:"half_open"`
		} `json:"connections"`
	}
	labtest.Must(t, json.Unmarshal(out, &status))
	return status.Connections.Used - status.Connections.Half
}

// resent is how many segments of TCP the host had to send again.
func resent(t *testing.T, h *lab.Host) (n int) {
	t.Helper()
	labtest.Must(t, h.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var lines [][]string
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 12 && f[0] == "Tcp:" {
				lines = append(lines, f)
			}
		}
		if len(lines) != 2 || lines[0][12] != "RetransSegs" {
			return fmt.Errorf("no RetransSegs in %s", text)
		}
		n, err = strconv.Atoi(lines[1][12])
		return err
	}))
	return n
}
