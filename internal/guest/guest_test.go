package guest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// Cache is where the tests of this repository keep the kernel.
const cache = "../../.cache/guest"

// need skips where a guest cannot be booted; where CI=true that is a failure.
func need(t *testing.T) {
	t.Helper()
	err := Lacking()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
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
