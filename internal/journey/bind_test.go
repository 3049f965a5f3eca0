package journey

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// TestBind asks two name servers through three services on UDP: one that
// schedules every datagram, one that remembers flows, and a persistent one.
// Each server says its own name.
func TestBind(t *testing.T) {
	named := need(t, "named")
	need(t, "dig")
	labtest.NeedRoot(t)
	weir := program(t)
	for _, door := range doors {
		t.Run(door.mode, func(t *testing.T) {
			c := labtest.NewCluster(t, 2, door.wires)
			for i, real := range c.Real {
				resolve(t, real, named, fmt.Sprintf("server%d", i+1))
			}
			dir := t.TempDir()
			vip := lab.VirtualAddr
			destinations := fmt.Sprintf("[%q, %q]", lab.RealAddr(0), lab.RealAddr(1))
			// Answers of the first keep the server's address, as in IPVS: only
			// by gate, where the server answers from the service's, do they help.
			conf := smallTables + fmt.Sprintf(`services:
  - {listen: "udp %[1]s:53", scheduler: rr, one_packet: true, forward: gate, check: on, destinations: %[2]s}
  - {listen: "udp %[3]s:53", scheduler: rr, forward: masq, check: {kind: ping, interval: 1s}, destinations: %[4]s}
  - {listen: "tcp %[1]s:53", scheduler: rr, forward: gate, persistence: 60s, check: {interval: 1s}, destinations: %[2]s}
`, vip, destinations, "["+lab.VirtualAddr6.String()+"]", fmt.Sprintf("[%q, %q]", lab.RealAddr6(0), lab.RealAddr6(1)))
			start(t, c.Director, weir, dir, door.mode, conf, "6 up")
			// One port, so that a service that remembers flows would send all to one.
			once := names(t, c.Client, vip, "-b", "0.0.0.0#5000")
			if once["server1"] != 4 || once["server2"] != 4 {
				t.Errorf("one datagram after the other went to %v", once)
			}
			if flow := names(t, c.Client, lab.VirtualAddr6, "-b", "::#5000"); len(flow) != 1 {
				t.Errorf("one flow went to %v", flow)
			}
			if persistent := names(t, c.Client, vip, "+tcp"); len(persistent) != 1 {
				t.Errorf("one client's connections went to %v", persistent)
			}
		})
	}
}

// resolve starts a name server that answers who it is.
func resolve(t *testing.T, h *lab.Host, named, name string) {
	t.Helper()
	dir := t.TempDir()
	zone := "$TTL 1\n@ SOA ns root 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nwho TXT " + name + "\n"
	conf := fmt.Sprintf(`options { directory %[1]q; pid-file none; session-keyfile none; listen-on { any; }; listen-on-v6 { any; }; recursion no; };
controls { };
zone "weir.test" { type primary; file %[2]q; };
`, dir, filepath.Join(dir, "zone"))
	labtest.Must(t, os.WriteFile(filepath.Join(dir, "zone"), []byte(zone), 0o644), os.WriteFile(filepath.Join(dir, "named.conf"), []byte(conf), 0o644))
	cmd := h.Command(t.Context(), named, "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	labtest.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	eventually(t, &out, func() bool {
		answer, _ := h.Command(context.Background(), "dig", "@127.0.0.1", "who.weir.test", "TXT", "+short", "+tries=1", "+time=1").Output()
		return strings.Contains(string(answer), name)
	})
}

// names asks eight times and counts who answers.
func names(t *testing.T, client *lab.Host, at netip.Addr, more ...string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range 8 {
		args := append([]string{"@" + at.String(), "who.weir.test", "TXT", "+short", "+tries=1", "+time=2"}, more...)
		out, err := client.Command(t.Context(), "dig", args...).Output()
		if err != nil {
			t.Fatalf("dig %s: %v: %s", strings.Join(args, " "), err, out)
		}
		count[strings.Trim(strings.TrimSpace(string(out)), `"`)]++
	}
	return count
}
