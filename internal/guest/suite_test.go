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
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
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
				t.Errorf("exit code %d:\n%s", code, &out)
			} else if testing.Verbose() {
				t.Log(out.String())
			}
		})
	}
}
