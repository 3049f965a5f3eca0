package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

const good = `checkinterval=5
quiescent=no
virtual=192.0.2.1:80
	real=10.0.0.1:80 masq 3
	real=10.0.0.2:80 masq
	fallback=127.0.0.1:80 gate
	scheduler=wlc
	protocol=tcp
`

// A shell runs commands as functions.
type shell struct {
	t        *testing.T
	dir      string
	out, err bytes.Buffer
	env      Env
}

func newShell(t *testing.T) *shell {
	s := &shell{t: t, dir: t.TempDir()}
	s.env = Env{Stdin: strings.NewReader(""), Stdout: &s.out, Stderr: &s.err, Getenv: func(string) string { return "" },
		Version: "1.2", Socket: filepath.Join(s.dir, "weir.sock"), Names: dialect.Names{}}
	return s
}

// run gives the exit code and what was printed.
func (s *shell) run(args ...string) (int, string, string) {
	s.out.Reset()
	s.err.Reset()
	code := Main(s.t.Context(), s.env, args)
	return code, s.out.String(), s.err.String()
}

func (s *shell) file(text string) string {
	path := filepath.Join(s.dir, "lb.cf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// weir answers on the shell's socket.
func (s *shell) weir(answers map[string]any) {
	l, err := net.Listen("unix", s.env.Socket)
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, a := range answers {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if p, ok := a.(*client.Problem); ok {
				w.WriteHeader(p.Status)
			}
			_ = json.NewEncoder(w).Encode(a)
		})
	}
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	s.t.Cleanup(func() { srv.Close() })
}

func TestExitCodes(t *testing.T) {
	s := newShell(t)
	bad := s.file(strings.Replace(good, "wlc", "frob", 1))
	for _, tt := range []struct {
		args string
		code int
		err  string // in standard error
	}{
		{"frob", Usage, "unknown command"},
		{"status --frob", Usage, "unknown flag"},
		{"status more", Usage, "unknown command"},
		{"connections --limit x", Usage, "invalid argument"},
		{"convert --to x", Usage, "use weir or ipvsadm"},
		{"check x.yaml", Usage, "a file is named with -c"},
		{"run x.yaml", Usage, "a file is named with -c"},
		{"diff x.yaml", Usage, "a file is named with -c"},
		{"status", Refused, "weir is not running here (no answer on "},
		{"services", Refused, "start it with: weir run -c FILE"},
		{"reload", Refused, "not running"},
		{"check -c " + s.dir, Refused, "neither a file nor a pipe"},
		{"check -c /nowhere/x", Refused, "/nowhere/x: no such file or directory"},
		{"check -c " + bad, Refused, bad + ":7: "},
		{"check --json -c " + bad, Refused, ""},
		{"diff -c " + bad, Refused, bad + ":7: "},
		{"convert -c " + bad, Refused, bad + ":7: "},
		{"version", Good, ""},
		{"--version", Good, ""},
		{"schema", Good, ""},
		{"--help", Good, ""},
	} {
		code, out, err := s.run(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(err, tt.err) || code == Good && out == "" || tt.err == "" && err != "" {
			t.Errorf("weir %s: %d\n%s%s", tt.args, code, out, err)
		}
	}
}

func TestFiles(t *testing.T) {
	s := newShell(t)
	f := s.file(good)
	for _, tt := range []struct{ args, out string }{
		{"check", f + ": good: 1 service, 2 real servers\n"},
		{"convert --to ipvsadm", `-A -t 192.0.2.1:80 -s wlc
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 3
-a -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 1
`},
		{"diff", `-A -t 192.0.2.1:80 -s wlc
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 3
-a -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 1
`},
	} {
		code, out, _ := s.run(append(strings.Fields(tt.args), "-c", f)...)
		if code != Good || out != tt.out {
			t.Errorf("weir %s: %d\n%s", tt.args, code, out)
		}
	}
	code, yaml, _ := s.run("convert", "-c", f)
	if code != Good || !strings.Contains(yaml, "services:") {
		t.Fatalf("convert: %d\n%s", code, yaml)
	}
	if code, out, err := s.run("check", "-c", s.file(yaml)); code != Good {
		t.Errorf("what convert printed is refused: %s%s", out, err)
	}
	var v struct{ Good bool }
	if _, out, _ := s.run("check", "--json", "-c", f); json.Unmarshal([]byte(out), &v) != nil || !v.Good {
		t.Errorf("check --json: %s", out)
	}
}

func TestDiffAgainstARunningWeir(t *testing.T) {
	s := newShell(t)
	s.weir(map[string]any{"/v1/config/diff": client.Diff{Steps: []string{"-D -u 192.0.2.1:53"}, ByHand: []client.Hand{{Service: "-f 7", Hand: "added"}}}})
	code, out, err := s.run("diff", "-c", s.file(good))
	if code != Good || out != "-D -u 192.0.2.1:53\n" || !strings.Contains(err, "-f 7 was added by hand") {
		t.Errorf("%d\n%s%s", code, out, err)
	}
	if _, out, _ = s.run("diff", "--json", "-c", s.file(good)); !strings.Contains(out, `"running": true`) || !strings.Contains(out, `"by_hand"`) {
		t.Errorf("%s", out)
	}
}

func TestTables(t *testing.T) {
	s := newShell(t)
	s.weir(map[string]any{
		"/v1/services": []client.Service{{ServiceSpec: client.ServiceSpec{Service: "-t 192.0.2.1:80", Scheduler: "wlc"}, Counters: lvs.Counters{Connections: 12345, InBytes: 99},
			Destinations: []client.Destination{
				{DestinationSpec: client.DestinationSpec{Destination: "10.0.0.1:80", Forward: "masq", Weight: 3}, Installed: true, Health: "up", Active: 7, Inactive: 1},
				{DestinationSpec: client.DestinationSpec{Destination: "10.0.0.2:80"}, Health: "down", Why: "connection refused"}}}},
		"/v1/connections": client.Connections{More: true, Connections: []client.Connection{{Protocol: "tcp", Client: "203.0.113.7:4000",
			Virtual: "192.0.2.1:80", Destination: "10.0.0.1:80", Forward: "masq", State: "ESTABLISHED", Expires: 90}}},
		"/v1/reload": &client.Problem{Status: 422, Detail: "the configuration was not changed"},
	})
	want := `SERVICE -> REAL SERVER  METHOD  WEIGHT  ACTIVE  INACTIVE  CONNS  IN  OUT  HEALTH  WHY
TCP 192.0.2.1:80        wlc                  7         1    12K  99    0
  -> 10.0.0.1:80        masq         3       7         1      0   0    0  up
  -> 10.0.0.2:80        out          -       0         0      0   0    0  down    connection refused
`
	if _, out, _ := s.run("services"); out != want {
		t.Errorf("services\n%s", out)
	}
	want = `PROTO  CLIENT            VIRTUAL       DESTINATION  METHOD  STATE        EXPIRES
TCP    203.0.113.7:4000  192.0.2.1:80  10.0.0.1:80  masq    ESTABLISHED     1:30
`
	if _, out, err := s.run("connections"); out != want || !strings.Contains(err, "there are more") {
		t.Errorf("connections\n%s%s", out, err)
	}
	if code, _, err := s.run("reload"); code != Refused || !strings.Contains(err, "was not changed") {
		t.Errorf("reload: %d %s", code, err)
	}
	s.env.Terminal = true
	if _, out, _ := s.run("services"); !strings.Contains(out, "\x1b[31mdown\x1b[0m    connection refused") {
		t.Errorf("on a terminal\n%q", out)
	}
	s.env.Getenv = func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] }
	if _, out, _ := s.run("services"); strings.Contains(out, "\x1b") {
		t.Errorf("colour although NO_COLOR is set\n%q", out)
	}
}

func TestDown(t *testing.T) {
	s := newShell(t)
	var removed, waited int
	s.env.Remove = func(context.Context, string) error { removed++; return nil }
	s.env.Gone = func(context.Context) error { waited++; return nil }
	if code, out, _ := s.run("down"); code != Good || removed != 1 || waited != 0 || out != "weir is down\n" {
		t.Errorf("without a weir: %d %q, removed %d", code, out, removed)
	}
	s.weir(map[string]any{"/v1/down": client.Downed{Kept: []string{"-t 192.0.2.1:80"}}})
	if code, out, _ := s.run("down"); code != Good || removed != 1 || waited != 1 || out != "kept -t 192.0.2.1:80\nweir is down\n" {
		t.Errorf("with a weir: %d %q, removed %d, waited %d", code, out, removed, waited)
	}
	s.env.Gone = func(context.Context) error { return errors.New("another weir runs") }
	if code, _, err := s.run("down"); code != Refused || !strings.Contains(err, "still there") {
		t.Errorf("a weir that stays: %d %q", code, err)
	}
}

func TestRunGetsItsOptions(t *testing.T) {
	s := newShell(t)
	var got RunOptions
	s.env.Run = func(_ context.Context, o RunOptions) error { got = o; return nil }
	if code, _, _ := s.run("run", "-c", "x", "--format", "weir", "--socket", "y"); code != Good || got != (RunOptions{File: "x", Format: "weir", Socket: "y"}) {
		t.Errorf("%d %+v", code, got)
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	s := newShell(t)
	c := &command{Env: s.env}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s: no examples", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" { // cobra's own
				walk(sub)
			}
		}
	}
	walk(c.root())
}

func TestAmount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 9999: "9999", 10000: "10K", 12345678: "12M", 1 << 63: "9223P"} {
		if got := amount(n); got != want {
			t.Errorf("amount(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestEngineOptions(t *testing.T) {
	s := newShell(t)
	var got RunOptions
	s.env.Run = func(_ context.Context, o RunOptions) error { got = o; return nil }
	for _, bad := range [][]string{{"--mode", "generic"}, {"--connections", "3"}, {"--connections", "-1"}} {
		if code, _, _ := s.run(append([]string{"run"}, bad...)...); code != Usage {
			t.Errorf("%v: exit %d, want %d", bad, code, Usage)
		}
	}
	if code, _, errs := s.run("run", "--mode", "xdp", "--interfaces", "a,b", "--connections", "5000"); code != Good {
		t.Fatal(errs)
	}
	e := got.Engine.Apply(config.Engine{Mode: config.ModeTC, HalfOpen: 7})
	if e.Mode != config.ModeXDP || len(e.Interfaces) != 2 || e.Connections != 5000 || e.HalfOpen != 7 {
		t.Errorf("%+v", e)
	}
}
