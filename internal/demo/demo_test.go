package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/demo"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// These tests run the demo as people do: the program that was built, its
// output, its exit code, and what it leaves on the machine.

// built is the program, made once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-demo-test-")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "weir")
	c := exec.Command("go", "build", "-o", exe, "github.com/weir-lb/weir/cmd/weir")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return exe, os.Chmod(dir, 0o755) // one test runs it as nobody
})

func TestMain(m *testing.M) {
	code := m.Run()
	if exe, err := built(); err == nil {
		os.RemoveAll(filepath.Dir(exe))
	}
	os.Exit(code)
}

// A run is a demo under way.
type run struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *output
}

// An output is what a program has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func begin(t *testing.T, args ...string) *run {
	t.Helper()
	exe, err := built()
	labtest.Must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	r := &run{t, exec.CommandContext(ctx, exe, append([]string{"demo"}, args...)...), &output{}, &output{}}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.err
	// Told to stop and not killed, so that a test that fails leaves nothing.
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGTERM) }
	labtest.Must(t, r.cmd.Start())
	return r
}

func (r *run) end() int {
	r.t.Helper()
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// until waits for words in the output.
func (r *run) until(o *output, words string) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(o.String(), words); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.cmd.Process.Signal(syscall.SIGTERM)
			r.t.Fatalf("never said %q:\n%s%s", words, r.out, r.err)
		}
	}
}

// traces are what exists of the demo: namespaces, directories, sockets, and
// its processes.
func (r *run) traces() (all []string) {
	name := "weir-demo-" + strconv.Itoa(r.cmd.Process.Pid)
	for _, pattern := range []string{"/run/" + name + "*", "/run/netns/" + name + ".*"} {
		found, err := filepath.Glob(pattern)
		labtest.Must(r.t, err)
		all = append(all, found...)
	}
	return append(all, processes(r.t, r.cmd.Path)...)
}

// sockets are the places where weirs of namespaces listen. The kernel gives the
// number of a namespace that is gone to the next one, so another weir may soon
// have a place of that name; it is not the same one.
func (r *run) sockets() map[string]os.FileInfo {
	all := map[string]os.FileInfo{}
	found, err := filepath.Glob("/run/netns/weir-demo-" + strconv.Itoa(r.cmd.Process.Pid) + ".*-director")
	labtest.Must(r.t, err)
	for _, f := range found {
		var st syscall.Stat_t
		labtest.Must(r.t, syscall.Stat(f, &st))
		place := "/run/weir/netns-" + strconv.FormatUint(st.Ino, 10)
		all[place], _ = os.Stat(place) // nil: not there yet
	}
	return all
}

// processes are those that run the program at path.
func processes(t *testing.T, path string) (all []string) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	labtest.Must(t, err)
	for _, d := range dirs {
		if exe, err := os.Readlink(d + "/exe"); err == nil && exe == path {
			all = append(all, d)
		}
	}
	return all
}

func (r *run) nothingLeft(sockets map[string]os.FileInfo) {
	r.t.Helper()
	if left := r.traces(); len(left) > 0 {
		r.t.Errorf("left behind: %v", left)
	}
	for s, was := range sockets {
		if is, err := os.Stat(s); err == nil && (was == nil || os.SameFile(is, was)) {
			r.t.Errorf("left behind: %s", s)
		}
	}
}

func TestDemo(t *testing.T) {
	labtest.NeedRoot(t)
	r := begin(t, "--json")
	r.until(r.err, "the cluster stands")
	sockets := r.sockets()
	if n := len(r.traces()); n < 12 || len(sockets) != 1 {
		t.Errorf("the test sees too little of a demo that runs: %v %v", r.traces(), sockets)
	}
	if code := r.end(); code != 0 {
		t.Errorf("exit code %d:\n%s%s", code, r.out, r.err)
	}
	r.nothingLeft(sockets)

	var report demo.Report
	d := json.NewDecoder(strings.NewReader(r.out.String()))
	labtest.Must(t, d.Decode(&report))
	if d.More() || !report.OK || report.Seconds < 5 || report.Seconds > 60 {
		t.Errorf("the report is ok=%v, took %.0f s", report.OK, report.Seconds)
	}
	var names []string
	for _, c := range report.Chapters {
		names = append(names, c.Chapter)
		if !c.OK || c.Seen == "" || c.Promised == "" {
			t.Errorf("%+v", c)
		}
	}
	for _, want := range []string{"masq IPv4", "gate IPv6", "UDP gate IPv4", "wlc under load", "server killed under load", "all servers dead",
		"servers return", "20 reloads under load", "weir killed (-9) under load", "the next weir adopts", "weir down", "leaving"} {
		if !slices.Contains(names, want) {
			t.Errorf("no chapter %q among %q", want, names)
		}
	}
}

// Whatever the demo is doing when it is stopped, nothing stays.
func TestInterrupted(t *testing.T) {
	labtest.NeedRoot(t)
	for _, tt := range []struct {
		signal syscall.Signal
		at     string
	}{
		{syscall.SIGINT, "building"},
		{syscall.SIGINT, "real2 is killed"},
		{syscall.SIGTERM, "weir is killed"},
		{syscall.SIGHUP, "wlc"},
	} {
		t.Run(tt.signal.String()+" at "+tt.at, func(t *testing.T) {
			r := begin(t)
			r.until(r.out, tt.at)
			sockets := r.sockets()
			labtest.Must(t, r.cmd.Process.Signal(tt.signal))
			if code := r.end(); code != 1 || !strings.Contains(r.err.String(), demo.ErrInterrupted.Error()) {
				t.Errorf("exit code %d: %s", code, r.err)
			}
			r.nothingLeft(sockets)
		})
	}
}

// What is kept goes on, and goes when it is told to; a demo that is playing is
// left alone.
func TestKeepAndClean(t *testing.T) {
	labtest.NeedRoot(t)
	kept := begin(t, "--keep")
	if code := kept.end(); code != 0 || !strings.Contains(kept.out.String(), "nsenter --net=/run/netns/weir-demo-") {
		t.Errorf("exit code %d:\n%s%s", code, kept.out, kept.err)
	}
	sockets := kept.sockets()
	if len(sockets) != 1 {
		t.Fatalf("kept %v", kept.traces())
	}
	st, err := client.New(slices.Collect(maps.Keys(sockets))[0] + "/weir.sock").Status(t.Context())
	if err != nil || st.Up == 0 || st.Down > 0 {
		t.Errorf("what is kept does not run: %+v, %v", st, err)
	}

	playing := begin(t)
	playing.until(playing.out, "the cluster stands")
	clean := begin(t, "--clean")
	if code := clean.end(); code != 0 || !strings.Contains(clean.out.String(), " is removed") || !strings.Contains(clean.out.String(), " is still playing") {
		t.Errorf("exit code %d: %s%s", code, clean.out, clean.err)
	}
	labtest.Must(t, playing.cmd.Process.Signal(syscall.SIGINT))
	playing.end()
	if text := playing.out.String(); strings.Contains(text, "FAILED") {
		t.Errorf("cleaning disturbed the demo that was playing:\n%s", text)
	}
	kept.nothingLeft(sockets)
}

// A demo that is killed cannot tidy up; what it leaves is found.
func TestCleanAfterKill(t *testing.T) {
	labtest.NeedRoot(t)
	r := begin(t)
	r.until(r.out, "masq IPv4")
	sockets := r.sockets()
	labtest.Must(t, r.cmd.Process.Kill())
	r.end()
	clean := begin(t, "--clean")
	if code := clean.end(); code != 0 {
		t.Errorf("exit code %d: %s%s", code, clean.out, clean.err)
	}
	r.nothingLeft(sockets)
}

func TestWithoutRoot(t *testing.T) {
	exe, err := built()
	labtest.Must(t, err)
	for _, args := range [][]string{{"demo"}, {"demo", "--clean"}} {
		c := exec.Command(exe, args...)
		if os.Geteuid() == 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "run it as root") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
}
