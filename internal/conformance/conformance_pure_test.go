package conformance

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nonsense", "a packet is written"},
		{"client:1025 > nowhere:80 SYN", "no machine is called"},
		{"client:70000 > vip:80 SYN", "is no port"},
		{"client201:1 > vip:80 SYN", "no machine is called"},
		{"rs4:1 > vip:80 SYN", "no machine is called"},
		{"vip:1 > client:80 SYN", "arrive on no wire"},
		{"client:1 > vip:80 SYNC", "knows no word"},
		{"client:1 > vip:80 ttl=x", "knows no word"},
		{"client:1 > vip:80 size=3", "knows no word"},
		{"client > vip icmp", "wants type/code"},
		{"client > vip icmp error", "no ICMP type/code"},
		{"client > vip icmp 3/1 quoting", "a packet is written"},
		{"client:9..3 > vip:80 SYN", "go nowhere"},
		{"client:1 > vip:80 $flags", "nothing is called $flags"},
		{"vary flags", "vary wants a word"},
		{"-A -t client:x", "is no port"},
		{"wait long", "invalid duration"},
		{"mtu vip 1300", "arrive on no wire"},
		{"mtu rs1 large", "invalid syntax"},
	} {
		_, err := Load(fstest.MapFS{"a.scenario": {Data: []byte(c.text)}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestLoad(t *testing.T) {
	all, err := Load(fstest.MapFS{"x.scenario": {Data: []byte(`# what it is about
vary family v4 v6
vary flags SYN SYN+ACK
-A -t vip:80 -s rr   # a service
client:1000..1002 > vip:80 $flags ttl=9
`)}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "x/v4,SYN x/v4,SYN+ACK x/v6,SYN x/v6,SYN+ACK" {
		t.Errorf("variants %s", got)
	}
	last := all[3]
	if last.Place != (Place{4, true}) || len(last.Steps) != 3 || !last.Steps[2].Look {
		t.Fatalf("%+v", last)
	}
	if c := last.Steps[0].Command; c != "-A -t [fd00:a:4::100]:80 -s rr" {
		t.Errorf("command %s", c)
	}
	p := last.Steps[1].Packets
	if len(p) != 3 || p[2].Src.Port() != 1002 || p[2].Flags != 0x12 || p[2].TTL != 9 || p[2].At != "client" {
		t.Errorf("packets %+v", p)
	}
}

// TestNames: every name has an address of its own, and is found by it.
func TestNames(t *testing.T) {
	seen := make(map[netip.Addr]string)
	for _, v6 := range []bool{false, true} {
		for _, p := range []Place{{1, v6}, {700, v6}} {
			for _, name := range []string{"vip", "vip2", "client", "client2", "client200", "rs1", "rs3", "local", "nobody", "director"} {
				a, err := p.Addr(name)
				if err != nil {
					t.Fatal(err)
				}
				if p.Name(a) != name {
					t.Errorf("%s is %s, which is called %s", name, a, p.Name(a))
				}
				if have, ok := seen[a]; ok && have != name {
					t.Errorf("%s and %s are both %s", name, have, a)
				}
				if strings.HasPrefix(name, "vip") || strings.HasPrefix(name, "client") {
					if _, ok := seen[a]; ok {
						t.Errorf("%s has the same address in two places", name)
					}
				}
				seen[a] = name
			}
		}
	}
}

// TestWords: what is built is read again, with right checksums; a wrong one is
// seen.
func TestWords(t *testing.T) {
	for _, c := range []struct{ packet, v4, v6 string }{
		{"client:1025 > vip:80 SYN data=3", "client:1025 > vip:80 tcp SYN ttl=64 len=43", "client:1025 > vip:80 tcp SYN ttl=64 len=63"},
		{"client:1 > vip:53 udp tos=8 df", "client:1 > vip:53 udp ttl=64 len=28 tos=8 df", "client:1 > vip:53 udp ttl=64 len=48 tos=8"},
		{"client:1 > vip:53 udp badsum", "client:1 > vip:53 udp WRONG checksum ttl=64 len=28", "client:1 > vip:53 udp WRONG checksum ttl=64 len=48"},
		{"client:1 > vip:53 udp nosum", "client:1 > vip:53 udp nosum ttl=64 len=28", "client:1 > vip:53 udp nosum ttl=64 len=48"},
		{"client:1 > vip:53 udp data=9 cut=4", "client:1 > vip:53 udp WRONG checksum ttl=64 len=33 WRONG length", "client:1 > vip:53 udp WRONG checksum ttl=64 len=53 WRONG length"},
		{"client:1 > vip:53 udp options ttl=3", "client:1 > vip:53 udp ttl=3 len=32", "client:1 > vip:53 udp ttl=3 len=56"},
		{"client:1 > vip:53 udp data=2000 from=1024", "client > vip later part of protocol 17 ttl=64 len=1004 from=1024", "client > vip later part of protocol 17 ttl=64 len=1032 from=1024"},
		{"client > vip esp data=9", "client > vip esp ttl=64 len=37", "client > vip esp ttl=64 len=57"},
		{"client > vip esp ah", "client > vip ah ttl=64 len=52", "client > vip esp ttl=64 len=72 ah"},
		{"client:1 > vip:80 SYN ah", "client > vip ah ttl=64 len=64", "client:1 > vip:80 tcp SYN ttl=64 len=84 ah"},
		{"client > vip icmp 3/1 quoting vip:80 > client:1025 ACK", "client > vip icmp 3/1 quoting (vip:80 > client:1025 tcp ACK ttl=64 len=40) ttl=64 len=68",
			"client > vip icmp 3/1 quoting (vip:80 > client:1025 tcp ACK ttl=64 len=60) ttl=64 len=108"},
	} {
		for _, v6 := range []bool{false, true} {
			p := Place{5, v6}
			pkt, err := p.parsePacket(c.packet)
			if err != nil {
				t.Fatal(err)
			}
			want := c.v4
			if v6 {
				want = c.v6
			}
			if got := p.Words(pkt.Bytes()); got != want {
				t.Errorf("%s:\n got %s\nwant %s", c.packet, got, want)
			}
		}
	}
}

// TestChecksum holds the sum against the example of RFC 1071, section 3.
func TestChecksum(t *testing.T) {
	b, _ := hex.DecodeString("0001f203f4f5f6f7")
	if got := sum(0, b); got != 0xddf2 {
		t.Errorf("sum %#x, want 0xddf2", got)
	}
}

func TestCompare(t *testing.T) {
	p := Place{5, false}
	frame := func(to, words string) Frame {
		pkt, err := p.parsePacket(words)
		if err != nil {
			t.Fatal(err)
		}
		return Frame{to, pkt.Bytes()}
	}
	s := Scenario{Name: "x", Place: p, Steps: []Step{{Line: 3, Text: "look"}}}
	one := func(seen Seen) Observation { return Observation{Body: "one", Steps: []Seen{seen}} }
	for _, c := range []struct {
		name string
		a, b Seen
		want string
	}{
		{"nothing", Seen{}, Seen{}, ""},
		{"a timer a second off", Seen{Connections: []Connection{{"x", 60}}}, Seen{Connections: []Connection{{"x", 59}}}, ""},
		{"a timer two seconds off", Seen{Connections: []Connection{{"x", 60}}}, Seen{Connections: []Connection{{"x", 58}}}, "connection x"},
		{"another connection", Seen{Connections: []Connection{{"x", 60}}}, Seen{Connections: []Connection{{"y", 60}}}, "connection y"},
		{"a packet too few", Seen{Frames: []Frame{frame("rs1", "client:1 > vip:80 SYN")}}, Seen{}, "rs1 gets client:1 > vip:80"},
		{"another wire", Seen{Frames: []Frame{frame("rs1", "client:1 > vip:80 SYN")}}, Seen{Frames: []Frame{frame("rs2", "client:1 > vip:80 SYN")}}, "rs2 gets"},
		{"one byte", Seen{Frames: []Frame{frame("rs1", "client:1 > vip:80 SYN id=7")}}, Seen{Frames: []Frame{frame("rs1", "client:1 > vip:80 SYN id=8")}}, "len=40 45"},
		{"the identification of an error of its own", Seen{Frames: []Frame{frame("client", "rs1 > client icmp 3/1 id=7 quoting client:1 > vip:80 ACK")}},
			Seen{Frames: []Frame{frame("client", "rs1 > client icmp 3/1 id=8 df quoting client:1 > vip:80 ACK")}}, ""},
		{"counts", Seen{Destinations: []string{"a"}}, Seen{Destinations: []string{"b"}}, "a"},
		{"counters", Seen{Counters: []string{"a"}}, Seen{}, "a"},
	} {
		got := Compare(s, one(c.a), one(c.b))
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := Compare(s, one(Seen{}), Observation{Body: "two", Trouble: "it burns"}); !strings.Contains(got, "it burns") {
		t.Errorf("trouble is not told: %q", got)
	}
	if got := Compare(s, one(Seen{}), Observation{Body: "two"}); !strings.Contains(got, "not reached") {
		t.Errorf("a scenario cut short agrees: %q", got)
	}
}
