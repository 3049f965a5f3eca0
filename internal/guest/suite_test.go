package guest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// suite are the rooms whose tests touch the kernel, and therefore must pass on
// the oldest one too.
var suite = []string{"dataplane/ebpf", "dataplane/ipvs", "netif", "lab", "netif/local", "realserver/decap", "realserver/host"}

// homely tests need a server with users and their ways, which the guest has not.
const homely = "^TestVsftpd$"

// TestSuite runs the privileged tests on Linux 6.1, each room's in one guest.
// The guest is emulated, so what is only long is short there.
// WEIR_GUEST_ARGS goes to the test programs, to look at one test alone.
func TestSuite(t *testing.T) {
	need(t)
	for _, room := range suite {
		t.Run(room, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 35*time.Minute)
			defer cancel()
			program, err := BuildTest(ctx, "../"+room, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			m := Machine{Cache: cache, Memory: 2048, CPUs: 2, Files: []File{
				{program, "/src/internal/" + room + "/room.test", 0o755},
				// Tests compare the verdicts with these.
				{"../../docs/packet.md", "/src/docs/packet.md", 0o644},
				{"../../docs/realserver.md", "/src/docs/realserver.md", 0o644},
			}}
			script := fmt.Sprintf("cd /src/internal/%s; CI=true WEIR_GUEST=1 ./room.test -test.v -test.short -test.skip '%s' %s", room, homely, os.Getenv("WEIR_GUEST_ARGS"))
			code, err := m.Run(ctx, script, &out)
			if err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			if code != 0 {
				t.Errorf("exit code %d:\n%s", code, failed(out.String()))
			} else if testing.Verbose() {
				t.Log(out.String())
			}
		})
	}
}

// failed is what a test program said of the tests that failed, and of none: all
// of what the others say hides it. A program that ended early told no verdict of
// its last test, which is shown too.
func failed(out string) string {
	var (
		said    = make(map[string]string)
		order   []string
		verdict = make(map[string]string)
		test    string
	)
	for line := range strings.Lines(out) {
		word := strings.Fields(line)
		switch {
		case len(word) == 3 && word[0] == "===":
			test = word[2]
		case len(word) == 4 && word[0] == "---":
			verdict[word[2]], test = word[1], ""
			continue
		}
		if said[test] == "" {
			order = append(order, test)
		}
		said[test] += line
	}
	var b strings.Builder
	for _, test := range order {
		if v := verdict[test]; v == "PASS:" || v == "SKIP:" {
			continue
		}
		b.WriteString(said[test])
	}
	return b.String()
}

func TestFailed(t *testing.T) {
	const out = `=== RUN   TestGood
    good_test.go:1: fine
--- PASS: TestGood (0.00s)
=== RUN   TestBad
=== RUN   TestBad/first
    bad_test.go:1: first is fine
=== RUN   TestBad/second
    bad_test.go:2: second is not
=== NAME  TestBad
    bad_test.go:3: so it is bad
--- FAIL: TestBad (0.00s)
    --- PASS: TestBad/first (0.00s)
    --- FAIL: TestBad/second (0.00s)
=== RUN   TestCut
panic: cut
`
	const want = `=== RUN   TestBad
=== NAME  TestBad
    bad_test.go:3: so it is bad
=== RUN   TestBad/second
    bad_test.go:2: second is not
=== RUN   TestCut
panic: cut
`
	if got := failed(out); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
