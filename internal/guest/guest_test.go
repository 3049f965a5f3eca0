package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab/labtest"
)

// Cache is where the tests of this repository keep the kernel.
const cache = "../../.cache/guest"

// need skips where a guest cannot be booted; where CI=true that is a failure.
func need(t *testing.T) {
	t.Helper()
	labtest.Need(t, Lacking())
}

func TestRun(t *testing.T) {
	need(t)
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	code, err := Machine{Cache: cache}.Run(ctx, `uname -r
ip link add name wa type veth peer name wb && ip link show wa >/dev/null && echo veth
ipvsadm -A -t 192.0.2.1:80 -s wlc && ipvsadm -Sn
exit 7
`, &out)
	if err != nil {
		t.Fatal(err)
	}
	if code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	for _, want := range []string{"6.1.0-", "veth\n", "-A -t 192.0.2.1:80 -s wlc"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the guest did not say %q but:\n%s", want, &out)
		}
	}
}

func TestRunIsStopped(t *testing.T) {
	need(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := Machine{Cache: cache}.Run(ctx, "sleep 1000", new(bytes.Buffer))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a guest that takes too long: %v", err)
	}
}

func TestRelay(t *testing.T) {
	for _, c := range []struct {
		in, out  string
		code     int
		finished bool
	}{
		{"", "", 0, false},
		{"half a li", "half a li", 0, false},
		{sentinel + "nonsense\n", "", 0, false},
		{"a\nb\n" + sentinel + "3\n", "a\nb\n", 3, true},
		{sentinel + "0\r\nmore\n", "", 0, true},
	} {
		var out bytes.Buffer
		code, finished := relay(strings.NewReader(c.in), &out)
		if out.String() != c.out || code != c.code || finished != c.finished {
			t.Errorf("%q: %q %d %v", c.in, &out, code, finished)
		}
	}
}

// TestModules: each module comes after those it needs, once.
func TestModules(t *testing.T) {
	dir := t.TempDir()
	dep := `kernel/net/netfilter/ipvs/ip_vs_rr.ko: kernel/net/netfilter/ipvs/ip_vs.ko kernel/net/netfilter/nf_conntrack.ko kernel/lib/libcrc32c.ko
kernel/net/netfilter/ipvs/ip_vs.ko: kernel/net/netfilter/nf_conntrack.ko kernel/lib/libcrc32c.ko
kernel/net/netfilter/nf_conntrack.ko: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
kernel/fs/unwanted.ko:
`
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(dep), 0o644); err != nil {
		t.Fatal(err)
	}
	files, err := wanted(Kernel{Modules: dir})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".ko"))
	}
	if got := strings.Join(names, " "); got != "libcrc32c nf_conntrack ip_vs ip_vs_rr" {
		t.Errorf("modules %s", got)
	}
}

// TestArchive takes the image apart again, as the kernel does.
func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := newArchive(&b)
	a.bytes("usr/bin/a", 0o755, []byte("hello"))
	a.bytes("usr/bin/b", 0o644, nil)
	a.symlink("bin/sh", "dash")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for rest := b.Bytes(); ; {
		var mode, size, name uint32
		fmt.Sscanf(string(rest[14:22]), "%x", &mode)
		fmt.Sscanf(string(rest[54:62]), "%x", &size)
		fmt.Sscanf(string(rest[94:102]), "%x", &name)
		n := string(rest[110 : 110+name-1])
		if n == "TRAILER!!!" {
			break
		}
		rest = rest[(110+name+3)/4*4:]
		got = append(got, fmt.Sprintf("%s %o %s", n, mode, rest[:size]))
		rest = rest[(size+3)/4*4:]
	}
	want := []string{"usr 40755 ", "usr/bin 40755 ", "usr/bin/a 100755 hello", "usr/bin/b 100644 ", "bin 40755 ", "bin/sh 120777 dash"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	a = newArchive(new(bytes.Buffer))
	a.file("x", "/nonexistent/file", 0o644)
	if a.close() == nil {
		t.Error("a file that is not there was added")
	}
}
