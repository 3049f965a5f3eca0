package ipvsadm

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// listed reads a listing back: services and destinations in its order.
func listed(t *testing.T, text string) (out []Entry) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if words[0] == "Prot" || words[0] == "->" && words[1] == "RemoteAddress:Port" {
			continue
		}
		if words[0] == "->" {
			e := &out[len(out)-1].Service
			e.Destinations = append(e.Destinations, lvs.Destination{Addr: netip.MustParseAddrPort(words[1]), Forward: lvs.DirectRoute, Weight: 1})
			continue
		}
		s := lvs.Service{Scheduler: lvs.RR}
		if words[0] == "FWM" {
			var mark int32
			if _, err := fmt.Sscan(words[1], &mark); err != nil {
				t.Fatal(err)
			}
			s.Key.Mark, s.Key.Family = uint32(mark), lvs.IPv4
			if words[2] == "IPv6" {
				s.Key.Family = lvs.IPv6
			}
		} else {
			p, err := lvs.ParseProtocol(words[0])
			if err != nil {
				t.Fatal(err)
			}
			s.Key.Protocol, s.Key.Addr = p, netip.MustParseAddrPort(words[1])
		}
		out = append(out, Entry{Service: s})
	}
	return out
}

// The original's order is no order: 192.168.0.1 comes before 10.0.0.1 and
// 128.0.0.1 after it. From what the kernel gave comes what ipvsadm printed.
func TestSortIsTheOriginals(t *testing.T) {
	text, err := os.ReadFile("testdata/sort.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "-- kernel --\n")
	kernel, want, _ := strings.Cut(rest, "-- sorted --\n")
	entries := listed(t, kernel)
	if len(entries) < 15 {
		t.Fatalf("%d services", len(entries))
	}
	if got := Table(entries, Show{Numeric: true}, Names{}); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := Table(entries, Show{Numeric: true, NoSort: true}, Names{}); got != kernel {
		t.Errorf("unsorted:\n%s\nwant:\n%s", got, kernel)
	}
}

func counted(c, ip, op, ib, ob uint64) lvs.Counters {
	return lvs.Counters{Connections: c, InPackets: ip, OutPackets: op, InBytes: ib, OutBytes: ob}
}

func entry(c lvs.Counters, r lvs.Rates) Entry {
	at := netip.MustParseAddrPort("10.0.1.53:1500")
	return Entry{Service: lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("10.0.0.10:1500")}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: at, Forward: lvs.DirectRoute, Weight: 1}}},
		Counters: lvs.ServiceCounters{Counters: c, Rates: r, Destinations: []lvs.DestinationCount{{Addr: at, DestinationCounters: lvs.DestinationCounters{Counters: c, Rates: r}}}}}
}

// The numbers of transcripts 52 and 54: K and M, exact, and the three columns
// of a destination's rates that are never shortened.
func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		name string
		show Show
		e    Entry
		want string
	}{
		{"plain", Show{Mode: Stats}, entry(counted(0, 70000, 0, 99960000, 0), lvs.Rates{}), `
UDP  10.0.0.10:1500                      0    70000        0 99960000        0
  -> 10.0.1.53:1500                      0    70000        0 99960000        0
`},
		{"thousands", Show{Mode: Stats}, entry(counted(1, 2000, 0, 120056000, 0), lvs.Rates{}), `
UDP  10.0.0.10:1500                      1     2000        0  120056K        0
  -> 10.0.1.53:1500                      1     2000        0  120056K        0
`},
		{"millions", Show{Mode: Stats}, entry(counted(1, 75000, 0, 4502100000, 0), lvs.Rates{}), `
UDP  10.0.0.10:1500                      1    75000        0    4502M        0
  -> 10.0.1.53:1500                      1    75000        0    4502M        0
`},
		{"exact", Show{Mode: Stats, Exact: true}, entry(counted(1, 75000, 0, 4502100000, 0), lvs.Rates{}), `
UDP  10.0.0.10:1500                      1    75000        0 4502100000        0
  -> 10.0.1.53:1500                      1    75000        0 4502100000        0
`},
		{"more", Show{Mode: Stats}, entry(counted(99999999, 100000000, 99999999999, 100000000000, 100000000000000), lvs.Rates{}), `
UDP  10.0.0.10:1500               99999999  100000K   99999M     100G     100T
  -> 10.0.1.53:1500               99999999  100000K   99999M     100G     100T
`},
		{"rates", Show{Mode: Rates}, entry(lvs.Counters{}, lvs.Rates{InPackets: 7219, InBytes: 433369000}), `
UDP  10.0.0.10:1500                      0     7219        0  433369K        0
  -> 10.0.1.53:1500                      0     7219        0  433369K        0
`},
		{"rates of a destination", Show{Mode: Rates}, entry(lvs.Counters{}, lvs.Rates{Connections: 123456789, InPackets: 1}), `
UDP  10.0.0.10:1500                123456K        1        0        0        0
  -> 10.0.1.53:1500               123456789        1        0        0        0
`},
	} {
		tt.show.Numeric = true
		_, got, _ := strings.Cut(Table([]Entry{tt.e}, tt.show, Names{}), "RemoteAddress:Port\n")
		if "\n"+got != tt.want {
			t.Errorf("%s:\n%s\nwant:%s", tt.name, got, tt.want)
		}
	}
}

// Lines of transcripts 10 and 11.
func TestConnections(t *testing.T) {
	at := netip.MustParseAddrPort
	names := Names{PortName: func(p uint16, proto string) string {
		return map[string]string{"80/tcp": "http", "3565/sctp": "m2pa"}[fmt.Sprintf("%d/%s", p, proto)]
	}}
	for _, tt := range []struct {
		c    Connection
		show Show
		want string
	}{
		{Connection{Protocol: lvs.TCP, Client: at("10.0.0.150:1002"), Virtual: at("10.0.0.10:80"), Destination: at("10.0.1.50:8080"), State: "ESTABLISHED", Expires: 899 * time.Second},
			Show{Numeric: true}, "TCP 14:59  ESTABLISHED 10.0.0.150:1002    10.0.0.10:80       10.0.1.50:8080\n"},
		{Connection{Protocol: lvs.SCTP, Client: at("10.0.0.153:4002"), Virtual: at("10.0.0.10:3565"), Destination: at("10.0.1.53:3565"), State: "C-SENT", Expires: 47 * time.Second},
			Show{}, "SCTP 00:47  C-SENT      10.0.0.153:4002    10.0.0.10:m2pa     10.0.1.53:m2pa\n"},
		{Connection{Client: at("10.0.0.150:0"), Virtual: at("0.0.0.7:0"), Destination: at("10.0.1.55:0"), State: "NONE", Expires: 59 * time.Second},
			Show{}, "IP  00:59  NONE        10.0.0.150:0       0.0.0.7:0          10.0.1.55:0\n"},
		{Connection{Protocol: lvs.TCP, Client: at("[fd00:a::150]:5001"), Virtual: at("[fd00:a::10]:80"), Destination: at("[fd00:b::50]:8080"), State: "SYN_RECV", Expires: 46 * time.Second},
			Show{}, "TCP 00:46  SYN_RECV    [fd00:a::150]:5001 [fd00:a::10]:http  [fd00:b::50]:8080\n"},
		{Connection{Protocol: lvs.UDP, Client: at("10.0.0.150:0"), Virtual: at("10.0.0.10:5060"), Destination: at("10.0.1.56:5060"), State: "NONE", Expires: 59 * time.Second, Engine: "sip", EngineData: "other-call"},
			Show{Numeric: true, PE: true}, "UDP 00:59  NONE        10.0.0.150:0       10.0.0.10:5060     10.0.1.56:5060   sip                other-call\n"},
		{Connection{Protocol: lvs.UDP, Client: at("10.0.0.150:5062"), Virtual: at("10.0.0.10:5060"), Destination: at("10.0.1.56:5060"), State: "UDP", Expires: 2678400 * time.Second},
			Show{Numeric: true, PE: true}, "UDP 44640:00 UDP         10.0.0.150:5062    10.0.0.10:5060     10.0.1.56:5060\n"},
	} {
		if got := tt.c.Line(tt.show, names); got != tt.want {
			t.Errorf("got  %swant %s", got, tt.want)
		}
	}
}

func drawEntries(t *rapid.T) (out []Entry) {
	seen := map[lvs.ServiceKey]bool{}
	for range rapid.IntRange(0, 6).Draw(t, "services") {
		s := lvs.Service{Scheduler: rapid.SampledFrom(lvs.Schedulers).Draw(t, "scheduler"), SchedFlags: uint8(rapid.IntRange(0, 7).Draw(t, "flags"))}
		s.Key = rapid.SampledFrom([]lvs.ServiceKey{{Mark: 7, Family: lvs.IPv4}, {Mark: 7, Family: lvs.IPv6}, {Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")},
			{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("192.0.2.1:53")}, {Protocol: lvs.SCTP, Addr: netip.MustParseAddrPort("[2001:db8::1]:80")}}).Draw(t, "key")
		if seen[s.Key] {
			continue
		}
		seen[s.Key] = true
		s.OnePacket = s.Key.Protocol == lvs.UDP && rapid.Bool().Draw(t, "ops")
		if rapid.Bool().Draw(t, "persistent") {
			s.Persistence = lvs.Persistence{Timeout: uint32(rapid.IntRange(1, maxTimeout).Draw(t, "p")), Mask: lvs.MaskOf(s.Key.AF(), rapid.IntRange(1, s.Key.AddressBits()).Draw(t, "bits"))}
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "destinations") {
			d := lvs.Destination{Weight: rapid.IntRange(0, 1<<31-1).Draw(t, "weight"),
				Forward: rapid.SampledFrom([]lvs.Forwarding{lvs.Masquerade, lvs.DirectRoute, lvs.Tunnel}).Draw(t, "forward")}
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			if s.Key.AF() == lvs.IPv6 {
				a = netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1))
			}
			port := s.Key.Addr.Port()
			if d.Forward == lvs.Masquerade || s.Key.Mark != 0 {
				port = uint16(rapid.IntRange(0, 65535).Draw(t, "port"))
			}
			d.Addr = netip.AddrPortFrom(a, port)
			if d.Forward == lvs.Tunnel && rapid.Bool().Draw(t, "gue") {
				d.Encap = lvs.Encap{Type: lvs.GUE, Port: 6080, Checksum: lvs.RemoteChecksum}
			}
			s.Destinations = append(s.Destinations, d)
		}
		out = append(out, Entry{Service: s})
	}
	return out
}

// What is saved is read back as it was.
func TestSavedIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		text := Saved(entries, true, Names{})
		var back []Entry
		for line := range strings.Lines(text) {
			c, fault := Parse(strings.Fields(line), Names{})
			if fault != nil {
				t.Fatalf("%s%v", line, fault)
			}
			if c.Verb == AddService {
				back = append(back, Entry{Service: c.Service})
				continue
			}
			s := &back[len(back)-1].Service
			s.Destinations = append(s.Destinations, c.Destination)
		}
		if again := Saved(back, true, Names{}); again != text {
			t.Fatalf("saved\n%sread\n%s", text, again)
		}
	})
}

// Whatever is typed, there is a command or a failure with a known status.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"-Ln", "-A -t 192.0.2.1:80 -s rr -p", "-a -t [2001:db8::1]:80 -r 10.0.0.1 -m -w=5", "--set 1 2 3",
		"-AtX:Y -b a,b", "--start-daemon=master --mcast-group ff02::1", "-L -- -x", "-", "--", "-E -f 7 -6 -M 64 -s x -o"} {
		f.Add(seed)
	}
	names := Names{Names: dialect.Names{Host: func(string, lvs.Family) (netip.Addr, error) { return netip.Addr{}, errors.New("no") },
		Port: func(string, string) (uint16, error) { return 0, errors.New("no") }}}
	f.Fuzz(func(t *testing.T, line string) {
		c, fault := Parse(strings.Split(line, " "), names)
		if fault != nil {
			if fault.Text == "" || fault.Code != Usage && fault.Code != Refused {
				t.Errorf("%q: %+v", line, fault)
			}
			return
		}
		if change, ok := c.Change(); ok && change.String() == "" {
			t.Errorf("%q: a change without words", line)
		}
	})
}

func TestReadRules(t *testing.T) {
	c, problems := Read("rules", []byte(`# saved
ipvsadm -C
-A -t 192.0.2.1:80 -s rr -p 300 -M 255.255.255.0
-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 5
-a -t 192.0.2.1:80 -r 10.0.0.2 -i --tun-type gue --tun-port 6080 --tun-csum
--set 1000 0 0

-A -f 7 -6
`), dialect.Names{})
	if len(problems.Errors()) != 0 || len(c.Services) != 2 || len(c.Services[0].Reals) != 2 {
		t.Fatalf("%+v %v", c.Services, problems)
	}
	r := c.Services[0].Reals[1]
	if r.Encap.Port != 6080 || r.Check.Value().Kind != lvs.CheckOn || r.Place.Line != 5 || c.Engine.Timeouts.TCP != 1000*time.Second || c.Engine.Timeouts.UDP != 5*time.Minute {
		t.Errorf("%+v %+v", r, c.Engine.Timeouts)
	}
	if text := string(config.Write(c)); !strings.Contains(text, "kind: on") && !strings.Contains(text, "check: on") {
		t.Errorf("nobody said it is checked:\n%s", text)
	}
}

func TestReadRefuses(t *testing.T) {
	_, problems := Read("rules", []byte(`-A -t 192.0.2.1:80
-A -t 192.0.2.1:80
-a -t 192.0.2.9:80 -r 10.0.0.1
-L -n
frob
-A -t bogus
-C
-a -t 192.0.2.1:80 -r 10.0.0.1 -w x
`), dialect.Names{})
	want := []string{"rules:2: virtual service", "rules:3: a real server of", "rules:4: -L makes no configuration", "rules:5: not a command",
		"rules:6: illegal virtual", "rules:7: -C after", "rules:8: illegal weight"}
	var got []string
	for _, p := range problems.Errors() {
		got = append(got, p.String())
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}
