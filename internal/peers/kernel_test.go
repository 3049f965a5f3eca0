package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// inGuest is set where this program runs in the guest, on a kernel with IPVS.
const inGuest = "WEIR_GUEST"

// TestKernelIPVS: weir drives the kernel's IPVS, and the real ipvsadm watches
// and meddles. It plays in the guest:
//
//	client ── director (weir with dataplane: ipvs, ipvsadm) ── real1, real2
func TestKernelIPVS(t *testing.T) {
	if os.Getenv(inGuest) != "" {
		playKernelIPVS(t)
		return
	}
	labtest.Need(t, guest.Lacking())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	program, err := guest.BuildTest(ctx, "../peers", dir)
	if err != nil {
		t.Fatal(err)
	}
	weir, err := guest.BuildProgram(ctx, "../../cmd/weir", dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	m := guest.Machine{Cache: "../../.cache/guest", Memory: 1024, CPUs: 2,
		Files: []guest.File{{From: program, To: "peers.test", Mode: 0o755}, {From: weir, To: "weir", Mode: 0o755}}}
	code, err := m.Run(ctx, "CI=true "+inGuest+"=1 ./peers.test -test.v -test.run '^TestKernelIPVS$'", &out)
	if err != nil || code != 0 || !strings.Contains(out.String(), "--- PASS: TestKernelIPVS/adopts") {
		t.Fatalf("exit code %d, %v\n%s", code, err, &out)
	}
	t.Log(out.String())
}

// kernelConfig is a service of each kind; two settings are not as by default.
const kernelConfig = `dataplane: ipvs
engine: {vs: {expire_nodest_conn: 1}, timeouts: {udp: 1m}}
defaults: {forward: masq, check: "on"}
services:
  - listen: tcp 10.90.1.100:80
    scheduler: wrr
    check: {kind: connect, interval: 1s}
    destinations: [{address: 10.90.2.11, weight: 3}, {address: 10.90.2.12, upper: 100, lower: 50}]
  - {listen: udp 10.90.1.100:53, scheduler: rr, one_packet: true, destinations: [10.90.2.11, 10.90.2.12]}
  - {listen: "tcp [fd90:1::100]:80", scheduler: sh, flags: [sh-port], persistence: {timeout: 5m, prefix: 64}, destinations: ["fd90:2::11"]}
  - {listen: fwmark 7, scheduler: lblc, forward: gate, destinations: [10.90.2.12]}
  - {listen: tcp 10.90.1.100:443, scheduler: mh, forward: gue, tunnel: {checksum: csum}, destinations: [10.90.2.11]}
`

// kernelSaved is what ipvsadm -S -n of the real tool says of it: thresholds it
// leaves out.
const kernelSaved = `-A -t 10.90.1.100:80 -s wrr
-a -t 10.90.1.100:80 -r 10.90.2.11:80 -m -w 3
-a -t 10.90.1.100:80 -r 10.90.2.12:80 -m -w 1
-A -t 10.90.1.100:443 -s mh
-a -t 10.90.1.100:443 -r 10.90.2.11:443 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-A -u 10.90.1.100:53 -s rr -o
-a -u 10.90.1.100:53 -r 10.90.2.11:53 -m -w 1
-a -u 10.90.1.100:53 -r 10.90.2.12:53 -m -w 1
-A -t [fd90:1::100]:80 -s sh -p 300 -M 64 -b sh-port
-a -t [fd90:1::100]:80 -r [fd90:2::11]:80 -m -w 1
-A -f 7 -s lblc
-a -f 7 -r 10.90.2.12:0 -g -w 1
`

// A theatre is the cluster with weir on its director.
type theatre struct {
	*testing.T
	*lab.Cluster
	dir  string
	weir *lab.Cmd
	log  string // of the weir that runs
}

func playKernelIPVS(t *testing.T) {
	s := &theatre{T: t, Cluster: labtest.NewCluster(t, 2, lab.WireOptions{}), dir: t.TempDir()}
	for _, h := range s.Real {
		s.echo(h)
	}
	labtest.Must(t, s.Director.Sysctl("net/ipv4/vs/sloppy_tcp", "1"))
	s.configure(kernelConfig)
	s.start()
	s.scene("installs", (*theatre).installs)
	c, err := s.Client.Dial(t.Context(), "tcp", "10.90.1.100:80")
	labtest.Must(t, err)
	defer c.Close()
	s.talks(c)
	s.scene("agrees", (*theatre).agrees)
	s.scene("synchronises", (*theatre).synchronises)
	s.scene("is killed", func(s *theatre) { s.isKilled(c) })
	s.scene("reports", func(s *theatre) { s.reports(c) })
	s.scene("corrects", func(s *theatre) { s.corrects(c) })
	s.scene("refuses", (*theatre).refuses)
	s.scene("down", func(s *theatre) { s.down(c) })
	s.scene("adopts", (*theatre).adopts)
}

func (s *theatre) scene(name string, play func(*theatre)) {
	s.Run(name, func(t *testing.T) {
		in := *s
		in.T = t
		play(&in)
		s.weir, s.log = in.weir, in.log
	})
	if s.Failed() {
		text, _ := os.ReadFile(s.log) // for the one who looks into it
		s.Fatalf("weir said:\n%s", text)
	}
}

func (s *theatre) installs() {
	s.saved(kernelSaved)
	s.sameListings()
	s.vs("expire_nodest_conn", "1")
	s.vs("sloppy_tcp", "0")
	// What belongs to weir's own engine is not there.
	for _, look := range [][]string{{"ip", "-d", "neigh"}, {"tc", "filter", "show", "dev", "front", "ingress"}, {"tc", "qdisc", "show", "dev", "front"}} {
		if out := s.out(look[0], look[1:]...); strings.Contains(out, "managed") || strings.Contains(out, "weir") || strings.Contains(out, "clsact") {
			s.Errorf("%s\n%s", strings.Join(look, " "), out)
		}
	}
	for ask, want := range map[string]string{
		"explain tcp 10.90.1.2:40000 10.90.1.100:80": "cannot be tried on the kernel's IPVS",
		"totals": "does not count what becomes of packets",
		"status": "ipvs, table since",
	} {
		out, _ := s.Director.Command(s.Context(), s.dir+"/weir", strings.Fields(ask)...).CombinedOutput() // explain refuses
		if !strings.Contains(string(out), want) {
			s.Errorf("weir %s\n%s", ask, out)
		}
	}
}

// agrees: counters, connections and timeouts, too, are the same by weir and by
// the real tool; and what is done by the one is seen by the other.
func (s *theatre) agrees() {
	s.same(func(text string) string { return text }, "-L -n --stats", "-L -n --persistent-conn", "-L -n --rate", "-L --timeout")
	// How many seconds are left changes between the two.
	s.same(func(text string) string {
		var out []string
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); len(f) == 6 {
				line = strings.Join(append(f[:1:1], f[2:]...), " ")
			}
			out = append(out, line)
		}
		return strings.Join(out, "\n")
	}, "-L -n -c")
	if text := s.out("ipvsadm", "-L", "-n", "-c"); !strings.Contains(text, "ESTABLISHED") {
		s.Errorf("no connection to compare:\n%s", text)
	}
	s.out(s.dir+"/weir", "ipvsadm", "-a", "-f", "7", "-r", "10.90.2.11", "-g", "-w", "4")
	if text := s.out("ipvsadm", "-S", "-n"); !strings.Contains(text, "-a -f 7 -r 10.90.2.11:0 -g -w 4\n") {
		s.Errorf("added by weir:\n%s", text)
	}
	s.out(s.dir+"/weir", "ipvsadm", "-d", "-f", "7", "-r", "10.90.2.11")
	s.out(s.dir+"/weir", "ipvsadm", "-Z")
	s.until("the real one shows zeros", func() bool {
		return strings.Contains(s.out("ipvsadm", "-L", "-n", "--stats"), "TCP  10.90.1.100:80                      0        0")
	})
	s.saved(kernelSaved)
	conns := s.out(s.dir+"/weir", "connections")
	if !strings.Contains(conns, "masq") || strings.Contains(conns, "unknown") {
		s.Errorf("connections:\n%s", conns)
	}
}

// synchronises: sync daemons weir starts are those the real tool lists, what the
// one refuses the other does, and weir down ends only weir's.
func (s *theatre) synchronises() {
	weir := func(args ...string) { s.out(s.dir+"/weir", append([]string{"ipvsadm"}, args...)...) }
	same := func(want string) {
		s.Helper()
		mine, real := s.out(s.dir+"/weir", "ipvsadm", "-L", "--daemon"), s.out("ipvsadm", "-L", "--daemon")
		if mine != want || real != want {
			s.Errorf("daemons\nweir:\n%s\nthe original:\n%s\nwant:\n%s", mine, real, want)
		}
	}
	refuse := func(line string) {
		s.Helper()
		answer := func(program string, first ...string) string {
			out, err := s.Director.Command(s.Context(), program, append(first, strings.Fields(line)...)...).CombinedOutput()
			return fmt.Sprintf("%s%v", out, err)
		}
		if mine, real := answer(s.dir+"/weir", "ipvsadm"), answer("ipvsadm"); mine != real || !strings.Contains(mine, "exit status 255") {
			s.Errorf("ipvsadm %s\nweir:\n%s\nthe original:\n%s", line, mine, real)
		}
	}
	same("")
	refuse("--stop-daemon master")
	refuse("--start-daemon master --mcast-interface nosuch0")
	refuse("--start-daemon master") // there is no eth0
	const master = "master sync daemon (mcast=front, syncid=255, maxlen=1000, group=239.1.2.3, port=9000, ttl=5)\n"
	const backup = "backup sync daemon (mcast=front, syncid=6, maxlen=1452, group=ff02::1:2, port=8848, ttl=1)\n"
	weir("--start-daemon=master", "--mcast-interface", "front", "--syncid", "255", "--sync-maxlen", "1000", "--mcast-group", "239.1.2.3", "--mcast-port", "9000", "--mcast-ttl", "5")
	same(master)
	refuse("--start-daemon master --mcast-interface front")
	s.out("ipvsadm", "--start-daemon", "backup", "--mcast-interface", "front", "--syncid", "6", "--mcast-group", "ff02::1:2")
	same(master + backup)
	weir("--stop-daemon", "backup")
	same(master)
	s.out("ipvsadm", "--stop-daemon", "master")
	same("")
	weir("--start-daemon", "master", "--mcast-interface", "front")
	same("master sync daemon (mcast=front, syncid=0, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n")
	s.out("ipvsadm", "--start-daemon", "backup", "--mcast-interface", "front", "--syncid", "6", "--mcast-group", "ff02::1:2")
}

func (s *theatre) isKilled(c net.Conn) {
	s.out(s.dir+"/weir", "ipvsadm", "-A", "-u", "10.90.1.100:99", "-s", "rr") // by hand, it stays too
	before := s.out("ipvsadm", "-S", "-n")
	since := s.since()
	labtest.Must(s.T, s.weir.Process.Kill())
	_ = s.weir.Wait() // it was killed
	if after := s.out("ipvsadm", "-S", "-n"); after != before {
		s.Errorf("killing weir changed the table\n%s\n%s", before, after)
	}
	s.talks(c)
	s.start()
	if after := s.out("ipvsadm", "-S", "-n"); after != before {
		s.Errorf("a restart changed the table\n%s\n%s", before, after)
	}
	s.talks(c)
	if text := s.said(); !strings.Contains(text, "changes=0") || !strings.Contains(text, "ours=6") {
		s.Errorf("the second weir did not find all as it should be:\n%s", text)
	}
	if after := s.since(); after != since {
		s.Errorf("the table stands since %q, and %q before", after, since)
	}
	s.out(s.dir+"/weir", "ipvsadm", "-D", "-u", "10.90.1.100:99")
	s.sameListings()
}

// since is what the status says of the table's age.
func (s *theatre) since() string {
	_, text, _ := strings.Cut(s.out(s.dir+"/weir", "status"), "table since ")
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func (s *theatre) reports(c net.Conn) {
	s.meddle()
	s.until("drift in the status", func() bool { return strings.Count(s.out(s.dir+"/weir", "status"), "\ndrift") == 4 })
	status := s.out(s.dir+"/weir", "status")
	for _, want := range []string{"-e -t 10.90.1.100:80 -r 10.90.2.12:80 -m -w 1 -x 100 -y 50", "somebody else's service: -A -f 99 -s rr",
		"it is gone; to put it back: -A -u 10.90.1.100:53 -s rr -o", "not as weir set it: --set 900 120 60, found 800 120 60"} {
		if !strings.Contains(status, want) {
			s.Errorf("no word of %q in\n%s", want, status)
		}
	}
	metrics := s.out(s.dir+"/weir", "metrics")
	for _, kind := range []string{"foreign", "missing", "changed", "setting"} {
		if line := fmt.Sprintf("weir_drift_services{kind=%q} 1", kind); !strings.Contains(metrics, line) {
			s.Errorf("no metric %s", line)
		}
	}
	if events := s.out(s.dir+"/weir", "events"); strings.Count(events, "  drift  ") != 4 {
		s.Errorf("events\n%s", events)
	}
	if text := s.said(); strings.Count(text, "somebody else changed the table") != 4 {
		s.Errorf("the log\n%s", text)
	}
	s.sameListings() // of the table as it is
	if saved := s.out("ipvsadm", "-S", "-n"); !strings.Contains(saved, "-f 99") || strings.Contains(saved, "-u 10.90.1.100:53") {
		s.Errorf("touched:\n%s", saved)
	}
	s.talks(c)
}

// meddle is somebody with the real ipvsadm.
func (s *theatre) meddle() {
	for _, line := range []string{"-e -t 10.90.1.100:80 -r 10.90.2.12:80 -m -w 9", "-A -f 99 -s rr", "-a -f 99 -r 10.90.2.11 -g",
		"-D -u 10.90.1.100:53", "--set 800 0 0"} {
		s.out("ipvsadm", strings.Fields(line)...)
	}
}

func (s *theatre) corrects(c net.Conn) {
	s.configure("drift: correct\n" + kernelConfig)
	s.out(s.dir+"/weir", "reload")
	s.saved(kernelSaved)
	s.meddle()
	s.saved(kernelSaved)
	s.until("timeouts put right", func() bool {
		return s.out("ipvsadm", "-L", "--timeout") == "Timeout (tcp tcpfin udp): 900 120 60\n"
	})
	if events := s.out(s.dir+"/weir", "events"); !strings.Contains(events, "drift-corrected") {
		s.Errorf("events\n%s", events)
	}
	s.sameListings()
	s.talks(c)
}

// refuses: the other data plane does not start over what is left standing.
func (s *theatre) refuses() {
	labtest.Must(s.T, s.weir.Process.Signal(syscall.SIGTERM))
	_ = s.weir.Wait()
	s.saved(kernelSaved)
	out, err := s.Director.Command(s.Context(), s.dir+"/weir", "run", "-c", s.dir+"/weir.yaml", "--dataplane", "ebpf").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "weir has left 5 services in the kernel's IPVS; take them away first with: weir down") {
		s.Errorf("%v\n%s", err, out)
	}
	s.start()
}

func (s *theatre) down(c net.Conn) {
	s.configure(kernelConfig)
	s.out(s.dir+"/weir", "reload")
	s.out("ipvsadm", "-A", "-f", "99", "-s", "rr")
	s.until("drift in the status", func() bool { return strings.Contains(s.out(s.dir+"/weir", "status"), "-A -f 99") })
	labtest.Must(s.T, c.Close())
	s.out(s.dir+"/weir", "down")
	_ = s.weir.Wait()
	s.isGone()
}

// adopts: a table the real ipvsadm made becomes what is configured, and its
// connections go on; a weir that no longer runs leaves nothing but what others
// made.
func (s *theatre) adopts() {
	s.out("ipvsadm", "-A", "-t", "10.90.1.100:80", "-s", "rr")
	s.out("ipvsadm", "-a", "-t", "10.90.1.100:80", "-r", "10.90.2.12", "-m", "-w", "2")
	c, err := s.Client.Dial(s.Context(), "tcp", "10.90.1.100:80")
	labtest.Must(s.T, err)
	defer c.Close()
	s.talks(c)
	s.start()
	s.saved(kernelSaved + "-A -f 99 -s rr\n")
	s.talks(c)
	if out := s.out(s.dir+"/weir", "services"); !strings.Contains(out, "-f 99") {
		s.Errorf("services:\n%s", out)
	}
	labtest.Must(s.T, s.weir.Process.Kill())
	_ = s.weir.Wait() // it was killed
	s.out(s.dir+"/weir", "down")
	s.isGone()
}

func (s *theatre) isGone() {
	s.Helper()
	s.saved("-A -f 99 -s rr\n")
	if daemons := s.out("ipvsadm", "-L", "--daemon"); strings.Contains(daemons, "master") || !strings.Contains(daemons, "backup") {
		s.Errorf("sync daemons that run are\n%swant that of others alone", daemons)
	}
	s.vs("expire_nodest_conn", "0")
	s.vs("sloppy_tcp", "1")
	if text := s.out("ipvsadm", "-L", "--timeout"); text != "Timeout (tcp tcpfin udp): 900 120 300\n" {
		s.Error(text)
	}
	if err := filepath.WalkDir("/run", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "ipvs" {
			s.Errorf("%s stays", path)
		}
		return nil // others may come and go there
	}); err != nil {
		s.Error(err)
	}
}

func (s *theatre) configure(text string) {
	labtest.Must(s.T, os.WriteFile(filepath.Join(s.dir, "weir.yaml"), []byte(text), 0o644))
}

// start starts weir and waits until its configuration is applied.
func (s *theatre) start() {
	s.Helper()
	if _, err := os.Stat(s.dir + "/weir"); err != nil {
		program, err := filepath.Abs("weir") // beside this one
		labtest.Must(s.T, errors.Join(err, os.Symlink(program, s.dir+"/weir")))
	}
	log, err := os.CreateTemp(s.dir, "log")
	labtest.Must(s.T, err)
	defer log.Close()
	s.log = log.Name()
	s.weir = s.Director.Command(context.Background(), s.dir+"/weir", "run", "-c", s.dir+"/weir.yaml")
	s.weir.Stdout, s.weir.Stderr = log, log
	labtest.Must(s.T, s.weir.Start())
	s.until("weir is there", func() bool { return strings.Contains(s.said(), "configuration applied") })
}

func (s *theatre) said() string {
	text, err := os.ReadFile(s.log)
	labtest.Must(s.T, err)
	return string(text)
}

func (s *theatre) until(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if is() {
			return
		}
	}
	s.Fatalf("never: %s\n%s\nweir said:\n%s", what, s.out("ipvsadm", "-S", "-n"), s.said())
}

func (s *theatre) out(program string, args ...string) string {
	s.Helper()
	out, err := s.Director.Command(s.Context(), program, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// saved waits until the table is this, by the real ipvsadm.
func (s *theatre) saved(want string) {
	s.Helper()
	s.until("the table is\n"+want, func() bool { return s.out("ipvsadm", "-S", "-n") == want })
}

// sameListings asks that weir's ipvsadm and the real one agree to the letter.
func (s *theatre) sameListings() {
	s.Helper()
	s.same(func(text string) string { return text }, "-L -n", "-L -n --thresholds", "-L -n --tun-info", "-L -n --nosort -t 10.90.1.100:80", "-S -n")
}

// same asks that both answer these lines alike, but for what counts leaves out.
func (s *theatre) same(counts func(string) string, lines ...string) {
	s.Helper()
	for _, line := range lines {
		args := strings.Fields(line)
		var mine, real string
		for range 8 { // a connection may begin or end between the two, or a counter move
			mine, real = counts(s.out(s.dir+"/weir", append([]string{"ipvsadm"}, args...)...)), counts(s.out("ipvsadm", args...))
			if mine == real {
				break
			}
			time.Sleep(time.Second)
		}
		if mine != real {
			s.Errorf("ipvsadm %s\nweir:\n%s\nthe original:\n%s", line, mine, real)
		}
	}
}

func (s *theatre) vs(name, want string) {
	s.Helper()
	labtest.Must(s.T, s.Director.Do(func() error {
		got, err := os.ReadFile("/proc/sys/net/ipv4/vs/" + name)
		if strings.TrimSpace(string(got)) != want {
			s.Errorf("%s is %s, want %s", name, got, want)
		}
		return err
	}))
}

// echo makes a host say again what it hears on port 80.
func (s *theatre) echo(h *lab.Host) {
	l, err := h.Listen("tcp", netip.AddrPortFrom(netip.IPv4Unspecified(), 80).String())
	labtest.Must(s.T, err)
	s.Cleanup(func() { _ = l.Close() }) // the test is over
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 64)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// talks asks that a connection still lives.
func (s *theatre) talks(c net.Conn) {
	s.Helper()
	labtest.Must(s.T, c.SetDeadline(time.Now().Add(20*time.Second)))
	if _, err := c.Write([]byte("hello")); err != nil {
		s.Fatal(err)
	}
	b := make([]byte, 5)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
		s.Fatalf("heard %q, %v", b[:n], err)
	}
}
