package ipvsadm

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

func procFiles(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/proc.txtar")
	if err != nil {
		t.Fatal(err)
	}
	out, name := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(n, " --\n")
			continue
		}
		out[name] += line
	}
	return out
}

// readOptions reads what ipvsadm lists of a service behind its scheduler.
func readOptions(t *testing.T, s *lvs.Service, words []string) {
	t.Helper()
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "ops":
			s.OnePacket = true
		case "persistent":
			n, err := strconv.Atoi(words[i+1])
			if err != nil {
				t.Fatal(err)
			}
			s.Persistence.Timeout, s.Persistence.Mask = uint32(n), lvs.MaskOf(s.Key.AF(), s.Key.AddressBits())
			i++
		case "mask":
			i++
			if bits, err := strconv.Atoi(words[i]); err == nil {
				s.Persistence.Mask = lvs.MaskOf(lvs.IPv6, bits)
			} else {
				s.Persistence.Mask = netip.MustParseAddr(words[i])
			}
		}
	}
}

// TestFileOfTheTable: what ipvsadm listed unsorted is, in the same order, what
// the kernel's file said at that moment.
func TestFileOfTheTable(t *testing.T) {
	files := procFiles(t)
	_, list, _ := strings.Cut(files["listed"], "InActConn\n")
	entries := listed(t, list)
	if len(entries) < 30 {
		t.Fatalf("%d services", len(entries))
	}
	i := 0
	for line := range strings.Lines(list) {
		words := strings.Fields(strings.Replace(line, " IPv6", "", 1))
		entries[i].Service.Scheduler = lvs.Scheduler(words[2])
		readOptions(t, &entries[i].Service, words[3:])
		i++
	}
	if got := FileTable(entries); got != files["ip_vs"] {
		t.Errorf("got:\n%s\nwant:\n%s", got, files["ip_vs"])
	}
}

func TestFileOfDestinations(t *testing.T) {
	four, six := netip.MustParseAddrPort("10.0.1.50:8080"), netip.MustParseAddrPort("[2001:db8::10]:80")
	e := Entry{Service: lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("10.0.0.10:80")}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: four, Weight: 1}, {Addr: six, Forward: lvs.Tunnel, Weight: 1}}},
		Counters: lvs.ServiceCounters{Destinations: []lvs.DestinationCount{{Addr: four, DestinationCounters: lvs.DestinationCounters{Active: 3, Inactive: 7}}}}}
	const want = `TCP  0A00000A:0050 rr  
  -> 0A000132:1F90      Masq    1      3          7         
  -> [2001:0db8:0000:0000:0000:0000:0000:0010]:0050      Tunnel  1      0          0         
`
	if got := FileTable([]Entry{e}); !strings.HasSuffix(got, "InActConn\n"+want) {
		t.Errorf("got:\n%s", got)
	}
}

func hexPlace(t *testing.T, addr, port string) netip.AddrPort {
	t.Helper()
	a, err := strconv.ParseUint(addr, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), uint16(p))
}

func TestFilesOfConnections(t *testing.T) {
	files := procFiles(t)
	for name, sync := range map[string]bool{"ip_vs_conn": false, "ip_vs_conn_sync": true} {
		got := FileConnectionTitle(sync)
		_, lines, _ := strings.Cut(files[name], "\n")
		for line := range strings.Lines(lines) {
			w := strings.Fields(line)
			var left int
			if _, err := fmt.Sscan(w[len(w)-1], &left); err != nil {
				t.Fatal(err)
			}
			got += Connection{Protocol: lvs.TCP, Client: hexPlace(t, w[1], w[2]), Virtual: hexPlace(t, w[3], w[4]),
				Destination: hexPlace(t, w[5], w[6]), State: w[7], Expires: time.Duration(left) * time.Second}.FileLine(sync)
		}
		if got != files[name] {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", name, got, files[name])
		}
	}
	pe := Connection{Protocol: lvs.UDP, Client: hexPlace(t, "0A000096", "0"), Virtual: hexPlace(t, "0A00000A", "13C4"), Destination: hexPlace(t, "0A000138", "13C4"),
		State: "NONE", Expires: 59 * time.Second, Engine: "sip", EngineData: "other-call"}
	if got := pe.FileLine(false); got != "UDP 0A000096 0000 0A00000A 13C4 0A000138 13C4 NONE             59 sip other-call\n" {
		t.Errorf("got %s", got)
	}
}

func TestFilesOfCounters(t *testing.T) {
	files := procFiles(t)
	c, r := counted(1, 0x124f8, 0, 0x10c589820, 0), lvs.Rates{InPackets: 0x1527, InBytes: 0x135f84b7}
	if got := FileStats(c, r); got != files["ip_vs_stats"] {
		t.Errorf("got:\n%s\nwant:\n%s", got, files["ip_vs_stats"])
	}
	if got := FileStatsPerCPU(c, r); got != files["ip_vs_stats_percpu"] {
		t.Errorf("got:\n%s\nwant:\n%s", got, files["ip_vs_stats_percpu"])
	}
}
