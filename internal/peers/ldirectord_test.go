package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// A site is a cluster whose director runs a weir without services, and has
// weir in ipvsadm's place.
//
//	client ── director (weir, ldirectord) ── real1, real2 (HTTP)
type site struct {
	*testing.T
	*lab.Cluster
	dir     string
	servers map[string]*http.Server
}

func newSite(t *testing.T) *site {
	labtest.NeedRoot(t)
	s := &site{T: t, Cluster: labtest.NewCluster(t, 2, lab.WireOptions{}), dir: t.TempDir(), servers: map[string]*http.Server{}}
	if _, err := guest.BuildProgram(t.Context(), "../../cmd/weir", s.dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ipvsadm", "ipvsadm-save", "ipvsadm-restore"} {
		labtest.Must(t, os.Symlink("weir", filepath.Join(s.dir, name)))
	}
	s.write("weir.yaml", "engine:\n  connections: 4096\n  half_open: 1024\nservices: []\n")
	s.run("weir", s.Director.Command(context.Background(), filepath.Join(s.dir, "weir"), "run", "-c", filepath.Join(s.dir, "weir.yaml")))
	s.until("weir answers", func() bool { _, err := s.ipvsadm("-Ln"); return err == nil })
	return s
}

func (s *site) write(name, text string) string {
	file := filepath.Join(s.dir, name)
	labtest.Must(s.T, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// run runs a program to the end of the test and shows its output if that
// fails.
func (s *site) run(what string, c *lab.Cmd) *lab.Cmd {
	s.Helper()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	labtest.Must(s.T, c.Start())
	s.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = c.Wait()
		if s.Failed() {
			s.Logf("%s said:\n%s", what, out.String())
		}
	})
	return c
}

func (s *site) until(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if is() {
			return
		}
	}
	table, err := s.ipvsadm("-Ln")
	s.Fatalf("never: %s\n%s%v", what, table, err)
}

func (s *site) ipvsadm(args ...string) (string, error) {
	out, err := s.Director.Command(s.Context(), filepath.Join(s.dir, "ipvsadm"), args...).CombinedOutput()
	return string(out), err
}

// saved waits until the table is this.
func (s *site) saved(want ...string) {
	s.Helper()
	s.until("the table is "+strings.Join(want, " | "), func() bool {
		out, err := s.ipvsadm("-Sn")
		return err == nil && strings.TrimSpace(out) == strings.Join(want, "\n")
	})
}

// serve makes a host answer HTTP with its name.
func (s *site) serve(h *lab.Host, name string) {
	s.Helper()
	var l net.Listener
	s.until("a listener on "+name, func() (ok bool) {
		var err error
		l, err = h.Listen("tcp", ":80")
		return err == nil
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })}
	server.SetKeepAlivesEnabled(false)
	s.servers[name] = server
	go func() { _ = server.Serve(l) }() // until it is closed
	s.Cleanup(func() { _ = server.Close() })
}

func (s *site) die(name string) { labtest.Must(s.T, s.servers[name].Close()) }

// answers waits until the client is served by exactly these.
func (s *site) answers(want ...string) {
	s.Helper()
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: s.Client.Dial, DisableKeepAlives: true}}
	s.until("served by "+strings.Join(want, " and "), func() bool {
		var got []string
		for range 6 {
			r, err := client.Get("http://" + lab.VirtualAddr.String() + "/")
			if err != nil {
				return false
			}
			b, err := io.ReadAll(r.Body)
			if r.Body.Close(); err != nil {
				return false
			}
			if !slices.Contains(got, string(b)) {
				got = append(got, string(b))
			}
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// cf is what ldirectord is configured with.
func cf(scheduler, weight string) string {
	return `checktimeout=1
negotiatetimeout=2
checkinterval=1
quiescent=no
supervised=yes
virtual=10.90.1.100:80
	real=10.90.2.11:80 masq ` + weight + `
	real=10.90.2.12:80 masq 1
	fallback=127.0.0.1:80 gate
	service=http
	request="/"
	receive="real"
	scheduler=` + scheduler + `
	protocol=tcp
	checktype=negotiate
`
}

// ldirectord runs Debian's, as it is. It calls /sbin/ipvsadm: in a mount
// namespace of its own that is weir.
func (s *site) ldirectord(config string) *lab.Cmd {
	s.Helper()
	if _, err := exec.LookPath("ldirectord"); err != nil {
		s.Fatalf("%v: see tools/debian-packages", err)
	}
	const script = `mount --bind "$1" /usr/sbin/ipvsadm && exec ldirectord "$2" start`
	return s.run("ldirectord", s.Director.Command(context.Background(), "unshare", "-m", "sh", "-c", script, "sh", filepath.Join(s.dir, "weir"), config))
}

// TestLdirectord: start, a server's death and return, all dead, reload, stop;
// and what clients see of it.
func TestLdirectord(t *testing.T) {
	s := newSite(t)
	s.serve(s.Real[0], "real1")
	s.serve(s.Real[1], "real2")
	s.serve(s.Director, "sorry")
	const service = "-A -t 10.90.1.100:80 -s "
	const one, two = "-a -t 10.90.1.100:80 -r 10.90.2.11:80 -m -w ", "-a -t 10.90.1.100:80 -r 10.90.2.12:80 -m -w 1"
	config := s.write(fmt.Sprintf("wt-%d.cf", os.Getpid()), cf("rr", "1"))
	l := s.ldirectord(config)
	s.saved(service+"rr", one+"1", two)
	s.answers("real1", "real2")

	s.die("real1")
	s.saved(service+"rr", two)
	s.answers("real2")
	s.serve(s.Real[0], "real1")
	s.saved(service+"rr", one+"1", two)
	s.answers("real1", "real2")

	s.die("real1")
	s.die("real2")
	s.saved(service+"rr", "-a -t 10.90.1.100:80 -r 127.0.0.1:80 -g -w 1")
	s.answers("sorry")
	s.serve(s.Real[0], "real1")
	s.serve(s.Real[1], "real2")
	s.saved(service+"rr", one+"1", two)
	s.answers("real1", "real2")

	s.write(filepath.Base(config), cf("wrr", "3"))
	labtest.Must(t, l.Process.Signal(syscall.SIGHUP))
	s.saved(service+"wrr", one+"3", two)
	s.answers("real1", "real2")

	labtest.Must(t, l.Process.Signal(syscall.SIGTERM))
	s.saved("")
}

// TestScripts: the table through a pipe of the wrappers' names, as start
// scripts keep it.
func TestScripts(t *testing.T) {
	s := newSite(t)
	const script = `set -e
PATH=$1:$PATH
ipvsadm -A -t 10.90.1.100:80 -s wlc -p 300
ipvsadm -a -t 10.90.1.100:80 -r 10.90.2.11:8080 -m -w 5
ipvsadm -a -t 10.90.1.100:80 -r 10.90.2.12 -g
ipvsadm-save -n > $1/rules
ipvsadm -C
{ echo '# kept'; cat $1/rules; } | ipvsadm-restore
ipvsadm-save -n | cmp - $1/rules
ipvsadm -D -t 10.90.1.100:80
! ipvsadm -D -t 10.90.1.100:80
`
	out, err := s.Director.Command(t.Context(), "sh", "-c", script, "sh", s.dir).CombinedOutput()
	if err != nil || string(out) != "No such service\n" {
		t.Errorf("%v\n%s", err, out)
	}
}
