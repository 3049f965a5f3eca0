package journey

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
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
	for _, door := range doors {
		t.Run(door.mode, func(t *testing.T) {
			c := labtest.NewCluster(t, 1, door.wires)
			// Answers to them lead to the client, who has no such address.
			labtest.Must(t, c.Director.Route(foesNet, lab.ClientAddr))
			dir := t.TempDir()
			serve(t, c.Real[0], nginx, dir)
			direct(t, c.Director, weir, dir, door.mode, fmt.Sprintf("engine: {connections: %d, half_open: %d}\n", entries, halfOpen))
			var at []netip.AddrPort
			for _, w := range ways() {
				if w.vip == lab.VirtualAddr && (w.forward == "masq" || w.forward == "gate") {
					at = append(at, netip.AddrPortFrom(w.vip, uint16(w.port)))
				}
			}
			f := flooded{c, at, func() map[string]uint64 { return totalsOf(t, c.Director, weir, filepath.Join(dir, "weir.sock")) },
				func() int { return connectionsOf(t, c.Director, weir, filepath.Join(dir, "weir.sock")) }}
			f.stands(t)
		})
	}
}

// flooded is a cluster with services, and what its director can say.
type flooded struct {
	*lab.Cluster
	at          []netip.AddrPort
	totals      func() map[string]uint64
	connections func() int
}

func (f flooded) stands(t *testing.T) {
	old := make([]*http.Client, 20)
	for i := range old {
		old[i] = keeping(f.Client)
		labtest.Must(t, hello(t.Context(), old[i], f.at[i%len(f.at)]))
	}
	anew := asker{"a new connection each", func(ctx context.Context, n int) error { return hello(ctx, once(f.Client), f.at[n%len(f.at)]) }}
	on := asker{"one connection", func(ctx context.Context, n int) error { return hello(ctx, old[0], f.at[0]) }}

	before := resent(t, f.Client)
	asked := during(t, func() { flood(t, f.Cluster, f.at, foes, flagSYN) }, []asker{anew, on})
	got := f.totals()
	t.Logf("%d SYN: %v requests answered, %d segments sent again; %v", foes, asked, resent(t, f.Client)-before, got)
	if got["forwarded"] < foes-foes/64 {
		t.Errorf("%d packets were forwarded; the flood did not arrive", got["forwarded"])
	}

	const places = 2*entries + halfOpen
	before = resent(t, f.Client)
	asked = during(t, func() { flood(t, f.Cluster, f.at, places+places/8, flagSYN, flagACK) }, []asker{on})
	known := f.connections()
	t.Logf("as many connections as there is room for: %v requests answered, %d segments sent again; %d known; %v",
		asked, resent(t, f.Client)-before, known, f.totals())
	if known < places-places/20 {
		t.Errorf("%d connections are known; the table, with room for %d, is not full", known, places)
	}
	for i, o := range old {
		if err := hello(t.Context(), o, f.at[i%len(f.at)]); err != nil {
			t.Errorf("connection %d from before the flood: %v", i, err)
		}
	}
}

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

// keeping makes one connection, and will not make another when that is lost.
func keeping(h *lab.Host) *http.Client {
	made := make(chan struct{}, 1)
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			select {
			case made <- struct{}{}:
				return h.Dial(ctx, network, addr)
			default:
				return nil, errors.New("the connection was lost")
			}
		},
	}}
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
	ethernet := append(append(dst[:6:6], src...), 0x08, 0x00)
	first := binary.BigEndian.Uint32(foesNet.Addr().AsSlice())
	for i := range n {
		var from [4]byte
		binary.BigEndian.PutUint32(from[:], first+i)
		for _, f := range flags {
			frame := append(ethernet[:14:14], segment(from, uint16(1024+i%50000), at[i%uint32(len(at))], f)...)
			if _, err := unix.Write(fd, frame); err != nil && err != unix.ENOBUFS {
				t.Fatal(err)
			}
		}
		// A wire has an end, too: what the client says must find room on it.
		if i%(128/uint32(len(flags))) == 0 {
			time.Sleep(500 * time.Microsecond)
		}
	}
}

// segment is one of TCP without data.
func segment(from [4]byte, port uint16, to netip.AddrPort, flags uint8) []byte {
	b := make([]byte, 40)
	ip, tcp := b[:20], b[20:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], 40)
	copy(ip[12:], from[:])
	copy(ip[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(tcp, port)
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], 1000)
	tcp[12], tcp[13] = 5<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip))
	binary.BigEndian.PutUint16(tcp[16:], ^sum(unix.IPPROTO_TCP+20, b[12:]))
	return b
}

func sum(s uint32, b []byte) uint16 {
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
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

// connectionsOf is how many connections weir lists, active or not.
func connectionsOf(t *testing.T, director *lab.Host, weir, socket string) (n int) {
	t.Helper()
	out, err := director.Command(t.Context(), weir, "ipvsadm", "--socket", socket, "-Ln").Output()
	labtest.Must(t, err)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 6 || f[0] != "->" || f[5] == "InActConn" {
			continue
		}
		for _, word := range f[4:] {
			x, err := strconv.Atoi(word)
			labtest.Must(t, err)
			n += x
		}
	}
	return n
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
