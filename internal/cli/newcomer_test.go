package cli

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-lb/weir/internal/api/client"
)

func TestStatusAfterARefusedReload(t *testing.T) {
	s := newShell(t)
	s.weir(map[string]any{"/v1/status": client.Status{Config: "weir.yaml", Refused: "weir.yaml:2: a\nweir.yaml:3: b\nweir.yaml:5: c"}})
	_, out, _ := s.run("status")
	if want := "refused: weir.yaml:2: a (and 2 more: weir check -c weir.yaml)\n"; !strings.Contains(out, want) {
		t.Errorf("got\n%s", out)
	}
}

func TestDiffOfNothingSaysSo(t *testing.T) {
	s := newShell(t)
	s.weir(map[string]any{"/v1/config/diff": client.Diff{}})
	code, out, err := s.run("diff", "-c", s.file("checkinterval=5\n"))
	if code != Good || out != "" || !strings.Contains(err, "nothing would change") || !strings.Contains(err, "warning: no virtual service") {
		t.Errorf("%d\n%s%s", code, out, err)
	}
}

func TestCompletions(t *testing.T) {
	s := newShell(t)
	for _, tt := range []struct{ args, want string }{
		{"connections --state", "SYN_RECV\n"},
		{"connections --protocol", "udp\n"},
		{"run --mode", "xdp\n"},
		{"convert --to", "ipvsadm\n"},
		{"check --format", "ldirectord\n"},
		{"explain", "tcp\n"},
	} {
		_, out, _ := s.run(append(append([]string{"__complete"}, strings.Fields(tt.args)...), "")...)
		if !strings.Contains(out, tt.want) || !strings.HasSuffix(out, ":4\n") { // no files
			t.Errorf("%s: %s", tt.args, out)
		}
	}
	if _, out, _ := s.run("__complete", "status", ""); out != ":4\n" {
		t.Errorf("status: %s", out)
	}
	if _, out, _ := s.run("__complete", "check", "-c", ""); out != ":0\n" {
		t.Errorf("check -c: %s", out)
	}
}

// A socket that may not be opened does not mean that weir is not running.
func TestWithoutPermission(t *testing.T) {
	if path := os.Getenv("WEIR_TEST_SOCKET"); path != "" {
		s := newShell(t)
		s.env.Socket = path
		code, _, err := s.run("status")
		if code != Refused || !strings.Contains(err, "permission denied; run this as root") {
			t.Errorf("%d %s", code, err)
		}
		return
	}
	// Not below t.TempDir, which nobody else may enter.
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := dir + "/weir.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestWithoutPermission$")
	cmd.Env = append(os.Environ(), "WEIR_TEST_SOCKET="+path, "TMPDIR=/tmp")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
