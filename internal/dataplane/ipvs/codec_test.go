package ipvs

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"pgregory.net/rapid"

	"github.com/weir-lb/weir/internal/lvs"
)

func addrs(f lvs.Family) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		if f == lvs.IPv4 {
			return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		}
		return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
	})
}

func families() *rapid.Generator[lvs.Family] {
	return rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6})
}

func anyService(t *rapid.T) lvs.Service {
	f := families().Draw(t, "family")
	s := lvs.Service{Scheduler: rapid.SampledFrom(lvs.Schedulers).Draw(t, "scheduler"),
		SchedFlags: rapid.Uint8Max(7).Draw(t, "flags"), OnePacket: rapid.Bool().Draw(t, "ops")}
	if rapid.Bool().Draw(t, "mark") {
		s.Key = lvs.ServiceKey{Mark: rapid.Uint32Min(1).Draw(t, "mark"), Family: f}
	} else {
		s.Key = lvs.ServiceKey{Protocol: rapid.SampledFrom([]lvs.Protocol{lvs.TCP, lvs.UDP, lvs.SCTP}).Draw(t, "protocol"),
			Addr: netip.AddrPortFrom(addrs(f).Draw(t, "addr"), rapid.Uint16().Draw(t, "port"))}
		if s.Key.AF() != f {
			t.Skip("an IPv4 address in IPv6's clothes")
		}
	}
	if rapid.Bool().Draw(t, "persistent") {
		s.Persistence = lvs.Persistence{Timeout: rapid.Uint32Min(1).Draw(t, "timeout"),
			Mask: lvs.MaskOf(f, rapid.IntRange(1, s.Key.AddressBits()).Draw(t, "bits")), Engine: rapid.SampledFrom([]string{"", "sip"}).Draw(t, "pe")}
	}
	return s
}

func TestServiceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyService(t)
		b, err := encode(func(e *netlink.AttributeEncoder) { encodeService(e, want) })
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeService(b)
		if err != nil || !got.Equal(want) {
			t.Fatalf("%v became %v, %v", want, got.Service, err)
		}
	})
}

func TestDestinationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := families().Draw(t, "family")
		want := lvs.Destination{Addr: netip.AddrPortFrom(addrs(f).Draw(t, "addr"), rapid.Uint16().Draw(t, "port")),
			Forward: rapid.SampledFrom([]lvs.Forwarding{lvs.Masquerade, lvs.Tunnel, lvs.DirectRoute}).Draw(t, "forward"),
			Weight:  rapid.IntRange(0, 1<<31-1).Draw(t, "weight"), Upper: rapid.Uint32().Draw(t, "upper"), Lower: rapid.Uint32().Draw(t, "lower")}
		if lvs.FamilyOf(want.Addr.Addr()) != f {
			t.Skip("an IPv4 address in IPv6's clothes")
		}
		if want.Forward == lvs.Tunnel {
			want.Encap = lvs.Encap{Type: lvs.TunnelType(rapid.IntRange(0, 2).Draw(t, "type")), Checksum: lvs.TunnelChecksum(rapid.IntRange(0, 2).Draw(t, "sum"))}
			if want.Encap.Type == lvs.GUE {
				want.Encap.Port = rapid.Uint16Min(1).Draw(t, "tunnel port")
			}
			if want.Encap.Fault() != "" {
				t.Skip("no such tunnel")
			}
		}
		b, err := encode(func(e *netlink.AttributeEncoder) { encodeDest(e, want) })
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeDest(b, f)
		if err != nil || got.Destination != want {
			t.Fatalf("%v became %v, %v", want, got.Destination, err)
		}
	})
}

// TestStatistics: the wide form is read if it is there, else the narrow one.
func TestStatistics(t *testing.T) {
	narrow, err := encode(func(e *netlink.AttributeEncoder) {
		for a := statConns; a <= statOutBytesRate; a++ {
			if a == statInBytes || a == statOutBytes {
				e.Uint64(a, uint64(a)<<40)
			} else {
				e.Uint32(a, uint32(a))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	wide, err := encode(func(e *netlink.AttributeEncoder) {
		for a := statConns; a <= statOutBytesRate; a++ {
			e.Uint64(a, uint64(a)<<33)
		}
		e.Bytes(11, nil) // padding
		e.Uint32(99, 1)  // of a later kernel
	})
	if err != nil {
		t.Fatal(err)
	}
	c, r, err := decodeStats(narrow, nil)
	if err != nil || c != (lvs.Counters{Connections: 1, InPackets: 2, OutPackets: 3, InBytes: 4 << 40, OutBytes: 5 << 40}) ||
		r != (lvs.Rates{Connections: 6, InPackets: 7, OutPackets: 8, InBytes: 9, OutBytes: 10}) {
		t.Errorf("narrow: %v %v %v", c, r, err)
	}
	c, r, err = decodeStats(narrow, wide)
	if err != nil || c.OutBytes != 5<<33 || r.OutBytes != 10<<33 {
		t.Errorf("wide: %v %v %v", c, r, err)
	}
}

func TestUnreadable(t *testing.T) {
	service := func(write func(e *netlink.AttributeEncoder)) []byte {
		b, err := encode(func(e *netlink.AttributeEncoder) {
			e.Uint16(svcFamily, afInet)
			e.Uint16(svcProtocol, 6)
			union(e, svcAddr, netip.MustParseAddr("192.0.2.1"))
			bigPort(e, svcPort, 80)
			write(e)
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, err := decodeService(service(func(*netlink.AttributeEncoder) {})); err != nil {
		t.Errorf("a key alone: %v", err)
	}
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"a family of its own":  service(func(e *netlink.AttributeEncoder) { e.Uint16(svcFamily, 99) }),
		"a protocol too large": service(func(e *netlink.AttributeEncoder) { e.Uint16(svcProtocol, 300) }),
		"an address cut short": service(func(e *netlink.AttributeEncoder) { e.Bytes(svcAddr, []byte{1}) }),
		"a long name":          service(func(e *netlink.AttributeEncoder) { e.String(svcScheduler, "a-scheduler-with-a-name") }),
		"a number cut short":   service(func(e *netlink.AttributeEncoder) { e.Bytes(svcTimeout, []byte{1}) }),
		"half an attribute":    service(func(*netlink.AttributeEncoder) {})[:10],
	} {
		if s, err := decodeService(b); err == nil {
			t.Errorf("%s: %v", name, s.Service)
		}
	}
}

func TestParseConnection(t *testing.T) {
	ap := netip.MustParseAddrPort
	for line, want := range map[string]lvs.Connection{
		"TCP 0A000096 03E9 0A00000A 0050 0A000132 1F90 SYN_RECV         59": {Protocol: lvs.TCP, Client: ap("10.0.0.150:1001"),
			Virtual: ap("10.0.0.10:80"), Destination: ap("10.0.1.50:8080"), State: lvs.StateSynRecv, Expires: 59 * time.Second},
		"UDP 2001:0db8:0000:0000:0000:0000:0000:0001 0400 2001:0db8:0000:0000:0000:0000:0000:0002 0035 fd00:0000:0000:0000:0000:0000:0000:0003 0035 UDP             300": {
			Protocol: lvs.UDP, Client: ap("[2001:db8::1]:1024"), Virtual: ap("[2001:db8::2]:53"), Destination: ap("[fd00::3]:53"), Expires: 300 * time.Second},
		"IP  0A000000 0000 00000007 0000 0A000132 0000 NONE             20": {Client: ap("10.0.0.0:0"), Virtual: ap("0.0.0.7:0"),
			Destination: ap("10.0.1.50:0"), Template: true, Expires: 20 * time.Second},
		"UDP 0A000096 0000 0A00000A 13C4 0A000132 13C4 ASSURED         120 sip call-1@host": {Protocol: lvs.UDP, Client: ap("10.0.0.150:0"),
			Virtual: ap("10.0.0.10:5060"), Destination: ap("10.0.1.50:5060"), Template: true, State: lvs.StateEstablished, Expires: 2 * time.Minute, Call: "call-1@host"},
		"TCP 0A000096 0000 0A00000A 0400 0A000132 0400 LISTEN          119": {Protocol: lvs.TCP, Client: ap("10.0.0.150:0"), Virtual: ap("10.0.0.10:1024"),
			Destination: ap("10.0.1.50:1024"), State: lvs.StateListen, Expires: 119 * time.Second},
	} {
		got, err := parseConnection(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n%+v\n%+v %v", line, got, want, err)
		}
	}
	for _, line := range []string{"", "TCP", "XYZ 0A000096 03E9 0A00000A 0050 0A000132 1F90 SYN_RECV 59",
		"TCP 0A0096 03E9 0A00000A 0050 0A000132 1F90 SYN_RECV 59", "TCP 0A000096 13E9F 0A00000A 0050 0A000132 1F90 SYN_RECV 59",
		"TCP 0A000096 03E9 0A00000A 0050 0A000132 1F90 WHATEVER 59", "TCP 0A000096 03E9 0A00000A 0050 0A000132 1F90 SYN_RECV -1"} {
		if c, err := parseConnection(line); err == nil {
			t.Errorf("%q: %+v", line, c)
		}
	}
}

// FuzzDecode: any bytes are read or refused, and what is read can be written
// and is then read as the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []lvs.Service{webs(1), {Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv6}, Scheduler: lvs.SH, SchedFlags: 3,
		Persistence: lvs.Persistence{Timeout: 300, Mask: lvs.MaskOf(lvs.IPv6, 64), Engine: "sip"}}} {
		b, err := encode(func(e *netlink.AttributeEncoder) {
			nested(e, attrService, func(n *netlink.AttributeEncoder) { encodeService(n, s) })
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	b, err := encode(func(e *netlink.AttributeEncoder) {
		nested(e, attrDest, func(n *netlink.AttributeEncoder) {
			encodeDest(n, lvs.Destination{Addr: names[0], Forward: lvs.Tunnel, Weight: 3, Encap: lvs.Encap{Type: lvs.GUE, Port: 6080}})
		})
		encodeTimeouts(e, lvs.DefaultTuning().Timeouts)
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeTimeouts(b)
		if s, err := serviceIn(b); err == nil {
			again, err := encode(func(e *netlink.AttributeEncoder) { encodeService(e, s.Service) })
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeService(again); err != nil || !got.Equal(s.Service) {
				t.Errorf("%v became %v, %v", s.Service, got.Service, err)
			}
		}
		inner, err := part(b, attrDest)
		if err != nil {
			return
		}
		if d, err := decodeDest(inner, lvs.IPv4); err == nil {
			again, err := encode(func(e *netlink.AttributeEncoder) { encodeDest(e, d.Destination) })
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeDest(again, lvs.IPv4); err != nil || got.Destination != d.Destination {
				t.Errorf("%v became %v, %v", d.Destination, got.Destination, err)
			}
		}
	})
}

// FuzzConnection: any line is read or refused.
func FuzzConnection(f *testing.F) {
	f.Add("TCP 0A000096 03E9 0A00000A 0050 0A000132 1F90 SYN_RECV         59")
	f.Add("UDP [2001:0db8:0000:0000:0000:0000:0000:0001] 0400 [::] 0035 [::] 0035 UDP 300 sip x")
	f.Fuzz(func(t *testing.T, line string) {
		if c, err := parseConnection(line); err == nil && (!c.Client.IsValid() || !c.Virtual.IsValid() || !c.Destination.IsValid()) {
			t.Errorf("%q: %+v", line, c)
		}
	})
}
