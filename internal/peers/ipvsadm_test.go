package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// sameKernelWords are command lines to which weir answers in words of its own.
var sameKernelWords = []string{"-h"}

// TestRealIpvsadm types the same lines at the real ipvsadm on the real ip_vs,
// in the guest, and at weir, and asks for the same answers: standard output,
// standard error and exit status.
func TestRealIpvsadm(t *testing.T) {
	labtest.NeedRoot(t)
	labtest.Need(t, guest.Lacking())
	text, err := os.ReadFile("testdata/commands")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out bytes.Buffer
	if code, err := (guest.Machine{Cache: "../../.cache/guest"}).Run(ctx, typed("ipvsadm", lines), &out); err != nil || code != 0 {
		t.Fatalf("%d, %v\n%s", code, err, out.String())
	}
	s := newSite(t)
	mine, err := s.Director.Command(ctx, "sh", "-c", typed(filepath.Join(s.dir, "ipvsadm"), lines)).Output()
	if err != nil {
		t.Fatal(err)
	}
	want, got := answers(t, out.String(), len(lines)), answers(t, string(mine), len(lines))
	for i, line := range lines {
		if ownWords(line) {
			continue
		}
		if want[i] != got[i] {
			t.Errorf("ipvsadm %s\nthe original:\n%sweir:\n%s", line, want[i], got[i])
		}
	}
}

func ownWords(line string) bool {
	for _, w := range sameKernelWords {
		if strings.HasPrefix(line, w) {
			return true
		}
	}
	return false
}

// typed is a shell script that types lines and says how each ends.
func typed(program string, lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "echo @@@; %s %s >/tmp/peers.out 2>/tmp/peers.err </dev/null; c=$?; cat /tmp/peers.out; echo '[stderr]'; cat /tmp/peers.err; echo \"[exit $c]\"\n", program, line)
	}
	return b.String()
}

func answers(t *testing.T, text string, n int) []string {
	t.Helper()
	all := strings.Split(strings.ReplaceAll(text, "\r", ""), "@@@\n")
	if len(all) != n+1 {
		t.Fatalf("%d answers to %d lines\n%s", len(all)-1, n, text)
	}
	// The guest ends what it tells with a line of its own.
	all[n] = strings.TrimRight(all[n], "\n") + "\n"
	return all[1:]
}
