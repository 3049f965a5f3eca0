package journey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// A way is a service of its own, told apart by its port.
type way struct {
	forward string
	vip     netip.Addr
	real    netip.Addr
	port    int
}

// throughDoors runs a test in each of the engine's modes, with a cluster of its
// own whose wires are as the mode needs them.
func throughDoors(t *testing.T, reals int, test func(t *testing.T, c *lab.Cluster, mode string)) {
	for _, door := range []struct {
		mode  string
		wires lab.WireOptions
	}{{"tc", lab.WireOptions{}}, {"xdp", lab.WireOptions{NoOffload: true}}} {
		t.Run(door.mode, func(t *testing.T) { test(t, labtest.NewCluster(t, reals, door.wires), door.mode) })
	}
}

// ways are all methods, and of tunnels all mixes of families.
func ways() (list []way) {
	port := 8000
	for _, forward := range []string{"masq", "gate", "ipip", "gue", "gre"} {
		for _, vip := range []netip.Addr{lab.VirtualAddr, lab.VirtualAddr6} {
			for _, real := range []netip.Addr{lab.RealAddr(0), lab.RealAddr6(0)} {
				if vip.Is6() != real.Is6() && (forward == "masq" || forward == "gate") {
					continue
				}
				port++
				list = append(list, way{forward, vip, real, port})
			}
		}
	}
	return list
}

// guestProgram is set in a guest, which cannot build anything: where weir is.
const guestProgram = "WEIR_JOURNEY_PROGRAM"

func inGuest() bool { return os.Getenv(guestProgram) != "" }

// program builds weir once.
func program(t *testing.T) string {
	t.Helper()
	if inGuest() {
		return os.Getenv(guestProgram)
	}
	path := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// need finds a program. Where a person has not installed it the test is
// skipped; in CI that is a failure.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	labtest.Need(t, err)
	return path
}

// TestNginx carries 100 MB to and from nginx by every method, with the real
// server prepared by weir realserver up and nothing else.
func TestNginx(t *testing.T) {
	nginx := need(t, "nginx")
	labtest.NeedRoot(t)
	weir := program(t)
	throughDoors(t, 1, func(t *testing.T, c *lab.Cluster, mode string) {
		bare(t, c.Real[0])
		dir := t.TempDir()
		serve(t, c.Real[0], nginx, dir)
		run(t, c.Real[0], weir, "realserver", "up", "--vip", lab.VirtualAddr.String(), "--vip", lab.VirtualAddr6.String(),
			"--method", "gate,ipip,gue,gre", "--from", "10.90.2.1", "--from", "fd90:2::1")
		t.Cleanup(func() { run(t, c.Real[0], weir, "realserver", "down") })
		direct(t, c.Director, weir, dir, mode, smallTables)
		for _, w := range ways() {
			t.Run(fmt.Sprintf("%s %s to %s", w.forward, w.vip, w.real), func(t *testing.T) {
				carry(t, c.Client, netip.AddrPortFrom(w.vip, uint16(w.port)), 100<<20)
			})
		}
	})
}

// bare takes from a real server what the lab gave it.
func bare(t *testing.T, real *lab.Host) {
	t.Helper()
	for _, a := range []netip.Addr{lab.VirtualAddr, lab.VirtualAddr6} {
		labtest.Must(t, real.Unaddress("lo", netip.PrefixFrom(a, a.BitLen())))
	}
	for _, key := range []string{"all/arp_ignore", "all/arp_announce"} {
		labtest.Must(t, real.Sysctl("net/ipv4/conf/"+key, "0"))
	}
}

func run(t *testing.T, h *lab.Host, name string, args ...string) {
	t.Helper()
	out, err := h.Command(context.Background(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	if testing.Verbose() {
		t.Logf("%s %s\n%s", name, strings.Join(args, " "), out)
	}
}

// serve starts nginx on every port, taking and giving files.
func serve(t *testing.T, real *lab.Host, nginx, dir string) {
	t.Helper()
	var listen strings.Builder
	for _, w := range ways() {
		fmt.Fprintf(&listen, "listen %d; listen [::]:%d;\n", w.port, w.port)
	}
	files := filepath.Join(dir, "files")
	// Its workers give up root; they must reach their files all the same.
	labtest.Must(t, os.Chmod(dir, 0o755), os.Mkdir(files, 0o777), os.Chmod(files, 0o777))
	conf := fmt.Sprintf(`daemon off; user root; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
	access_log off; client_max_body_size 0; client_body_temp_path %[1]s/body; keepalive_requests 1000000; keepalive_timeout 1h;
	server { %[2]s root %[3]s; location / { dav_methods PUT DELETE; } location = /hello { return 200 hello; } }
}
`, dir, &listen, files)
	labtest.Must(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644))
	cmd := real.Command(t.Context(), nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // its workers end with it
	labtest.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	eventually(t, &out, func() bool {
		c, err := real.Dial(t.Context(), "tcp", "127.0.0.1:8001")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// smallTables suit a few connections.
const smallTables = "engine: {connections: 4096}\n"

// direct runs weir on the director, with these tables, until all real servers
// are in service.
func direct(t *testing.T, director *lab.Host, weir, dir, mode, tables string) {
	t.Helper()
	var conf strings.Builder
	conf.WriteString(tables + "services:\n")
	for _, w := range ways() {
		fmt.Fprintf(&conf, "  - {listen: \"tcp %s\", forward: %s, check: {kind: connect, interval: 1s}, destinations: [\"%s\"]}\n",
			netip.AddrPortFrom(w.vip, uint16(w.port)), w.forward, w.real)
	}
	start(t, director, weir, dir, mode, conf.String(), fmt.Sprintf("%d up, 0 down", len(ways())))
}

// start runs weir on the director with a configuration until its status holds
// what is wanted.
func start(t *testing.T, director *lab.Host, weir, dir, mode, conf, want string) {
	t.Helper()
	file, socket := filepath.Join(dir, "weir.yaml"), filepath.Join(dir, "weir.sock")
	labtest.Must(t, os.WriteFile(file, []byte(conf), 0o644))
	cmd := director.Command(t.Context(), weir, "run", "-c", file, "--socket", socket, "--mode", mode, "--interfaces", "front,back")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	labtest.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", &out)
		}
	})
	eventually(t, &out, func() bool {
		status, _ := director.Command(t.Context(), weir, "status", "--socket", socket).Output()
		return strings.Contains(string(status), want)
	})
}

func eventually(t *testing.T, out fmt.Stringer, is func() bool) {
	t.Helper()
	patience := 15 * time.Second
	if inGuest() {
		patience = 5 * time.Minute // it is emulated, and the verifier takes its time
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("it does not begin:\n%s", out)
}

func body(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), n) }

func digest(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	_, err := io.Copy(h, r)
	labtest.Must(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// carry puts n bytes on the server and fetches them again.
func carry(t *testing.T, client *lab.Host, to netip.AddrPort, n int64) {
	t.Helper()
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return client.Dial(ctx, network, addr)
		},
	}}
	url := fmt.Sprintf("http://%s/%d", to, to.Port())
	for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
		var sent io.Reader
		if method == http.MethodPut {
			sent = body(n)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, url, sent)
		labtest.Must(t, err)
		if sent != nil {
			req.ContentLength = n
		}
		res, err := c.Do(req)
		labtest.Must(t, err)
		got := digest(t, res.Body)
		res.Body.Close()
		if res.StatusCode >= 300 {
			t.Fatalf("%s: %s", method, res.Status)
		}
		if want := digest(t, body(n)); method == http.MethodGet && got != want {
			t.Errorf("%d bytes came back with digest %s, want %s", n, got, want)
		}
	}
}
