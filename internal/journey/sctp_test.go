package journey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// echoed is how much goes to the real server and comes back.
const echoed = 1 << 20

// TestSCTP has a real server of the kernel's own SCTP echo a megabyte, by masq
// with another port, and by gate. Few kernels have SCTP at hand: where this one
// has not, the test is run on Debian's, in a guest.
func TestSCTP(t *testing.T) {
	fd, err := sctpSocket(unix.AF_INET)
	if err != nil {
		if inGuest() {
			t.Fatalf("the guest has no SCTP: %v", err)
		}
		sctpInGuest(t)
		return
	}
	unix.Close(fd)
	labtest.NeedRoot(t)
	weir := program(t)
	for _, door := range doors {
		t.Run(door.mode, func(t *testing.T) { sctpThrough(t, weir, door.mode, door.wires) })
	}
}

// sctpInGuest runs this test, and nothing else, on the guest's kernel.
func sctpInGuest(t *testing.T) {
	labtest.Need(t, guest.Lacking())
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	dir := t.TempDir()
	self, err := guest.BuildTest(ctx, ".", dir)
	labtest.Must(t, err)
	var out strings.Builder
	m := guest.Machine{Cache: "../../.cache/guest", Memory: 1536, CPUs: 2, Files: []guest.File{
		{From: self, To: "journey.test", Mode: 0o755},
		{From: program(t), To: "weir", Mode: 0o755},
	}}
	code, err := m.Run(ctx, "CI=true "+guestProgram+"=$PWD/weir ./journey.test -test.v -test.run '^TestSCTP$'", &out)
	if err != nil || code != 0 || !strings.Contains(out.String(), "--- PASS: TestSCTP") {
		t.Errorf("exit code %d, %v:\n%s", code, err, &out)
	} else if testing.Verbose() {
		t.Log(out.String())
	}
}

func sctpThrough(t *testing.T, weir, mode string, wires lab.WireOptions) {
	c := labtest.NewCluster(t, 1, wires)
	dir := t.TempDir()
	vips, reals := []netip.Addr{lab.VirtualAddr, lab.VirtualAddr6}, []netip.Addr{lab.RealAddr(0), lab.RealAddr6(0)}
	var conf strings.Builder
	conf.WriteString(smallTables + "services:\n")
	for i, vip := range vips {
		masked, plain := netip.AddrPortFrom(vip, 7000), netip.AddrPortFrom(vip, 7001)
		fmt.Fprintf(&conf, "  - {listen: \"sctp %s\", forward: masq, check: on, destinations: [\"%s\"]}\n", masked, netip.AddrPortFrom(reals[i], 7999))
		fmt.Fprintf(&conf, "  - {listen: \"sctp %s\", forward: gate, check: on, destinations: [\"%s\"]}\n", plain, reals[i])
		echo(t, c.Real[0], netip.AddrPortFrom(reals[i], 7999))
		echo(t, c.Real[0], plain)
	}
	start(t, c.Director, weir, dir, mode, conf.String(), "4 up, 0 down")
	for i, vip := range vips {
		from := []netip.Addr{lab.ClientAddr, lab.ClientAddr6}[i]
		for _, port := range []uint16{7000, 7001} {
			to := netip.AddrPortFrom(vip, port)
			t.Run(to.String(), func(t *testing.T) {
				say(t, c.Client, from, to)
				counted(t, c.Director, weir, filepath.Join(dir, "weir.sock"), to)
			})
		}
	}
	// Both ends looked at every checksum that was not left to the device.
	for _, h := range []*lab.Host{c.Client, c.Real[0]} {
		if n := sctpErrors(t, h); n != 0 {
			t.Errorf("%s saw %d wrong checksums", h.Name(), n)
		}
	}
}

// sctpSocket is a socket that speaks SCTP as others speak TCP (RFC 6458 4), and
// gives up after a while.
func sctpSocket(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, err
	}
	limit := unix.Timeval{Sec: 30}
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// bound is a socket of h at one address. With one only, the peers do not tell
// each other of more, which no load balancer would follow.
func bound(h *lab.Host, at netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	err = h.Do(func() (err error) {
		if fd, err = sctpSocket(family); err != nil {
			return err
		}
		return unix.Bind(fd, sockaddr(at))
	})
	return fd, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// echo sends back what comes to an address of h, until the test ends.
func echo(t *testing.T, h *lab.Host, at netip.AddrPort) {
	t.Helper()
	fd, err := bound(h, at)
	labtest.Must(t, err, unix.Listen(fd, 8))
	ended := make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		_ = unix.Close(fd)
	})
	go func() {
		for {
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			select {
			case <-ended:
				return
			default:
			}
			if err != nil {
				continue // nobody came for a while
			}
			_, _ = io.Copy(association(conn), association(conn))
			unix.Close(conn)
		}
	}()
}

// An association is one end of SCTP's connection, as a stream of bytes.
type association int

func (a association) Read(b []byte) (int, error) {
	n, err := patiently(func() (int, error) { return unix.Read(int(a), b) })
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// patiently does again what a signal interrupted: with a time limit on the
// socket the kernel does not.
func patiently(do func() (int, error)) (n int, err error) {
	for n, err = do(); err == unix.EINTR; n, err = do() {
	}
	return n, err
}

// Write sends messages of a size every socket takes.
func (a association) Write(b []byte) (sent int, err error) {
	for sent < len(b) && err == nil {
		var n int
		n, err = patiently(func() (int, error) { return unix.Write(int(a), b[sent:min(sent+8192, len(b))]) })
		sent += max(n, 0)
	}
	return sent, err
}

// associate connects to a service as soon as it is there: weir tells who is up
// before its packet engine knows.
func associate(t *testing.T, h *lab.Host, from netip.Addr, to netip.AddrPort) (fd int) {
	t.Helper()
	var tried strings.Builder
	eventually(t, &tried, func() bool {
		var err error
		fd, err = bound(h, netip.AddrPortFrom(from, 0))
		labtest.Must(t, err)
		if err = unix.Connect(fd, sockaddr(to)); err == nil {
			return true
		}
		fmt.Fprintln(&tried, err)
		unix.Close(fd)
		return false
	})
	return fd
}

// say sends a megabyte and wants it back.
func say(t *testing.T, h *lab.Host, from netip.Addr, to netip.AddrPort) {
	t.Helper()
	fd := associate(t, h, from, to)
	defer unix.Close(fd)
	said := make(chan error, 1)
	go func() {
		_, err := io.Copy(association(fd), body(echoed))
		said <- err
	}()
	h256 := sha256.New()
	n, err := io.Copy(h256, io.LimitReader(association(fd), echoed))
	if err := errors.Join(err, <-said); err != nil || n != echoed {
		t.Fatalf("%d bytes came back: %v", n, err)
	}
	if got, want := hex.EncodeToString(h256.Sum(nil)), digest(t, body(echoed)); got != want {
		t.Errorf("what came back has digest %s, want %s", got, want)
	}
}

// counted asks weir for the service's packets and bytes: one connection, and
// the megabyte in each direction.
func counted(t *testing.T, director *lab.Host, weir, socket string, to netip.AddrPort) {
	t.Helper()
	out, err := director.Command(t.Context(), weir, "ipvsadm", "--socket", socket, "-Ln", "--stats", "--exact", "--sctp-service", to.String()).CombinedOutput()
	labtest.Must(t, err)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 7 || f[0] != "SCTP" {
			continue
		}
		var n [5]int // connections, packets in and out, bytes in and out
		for i := range n {
			if n[i], err = strconv.Atoi(f[2+i]); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		// In tc many packets may come in one.
		if n[0] != 1 || n[1] < echoed>>16 || n[2] < echoed>>16 || n[3] < echoed || n[4] < echoed {
			t.Errorf("counted %v", n)
		}
		if testing.Verbose() {
			t.Logf("%s: connections, packets in and out, bytes in and out %v", to, n)
		}
		return
	}
	t.Errorf("weir does not list %s:\n%s", to, out)
}

// sctpErrors is how many packets the host dropped for their checksum.
func sctpErrors(t *testing.T, h *lab.Host) int {
	t.Helper()
	var text []byte
	labtest.Must(t, h.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/sctp/snmp")
		return err
	}))
	_, rest, found := bytes.Cut(text, []byte("SctpChecksumErrors"))
	f := strings.Fields(string(rest))
	if !found || len(f) == 0 {
		t.Fatalf("no count of wrong checksums in %s", text)
	}
	n, err := strconv.Atoi(f[0])
	labtest.Must(t, err)
	return n
}
