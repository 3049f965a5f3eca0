package health

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// client – server, and an address nobody has.
func pingLab(t *testing.T) *lab.Host {
	l := labtest.New(t)
	client, server := labtest.Host(t, l, "client"), labtest.Host(t, l, "server")
	labtest.Must(t, l.Wire(
		lab.Port{Host: client, Name: "eth0", Addrs: prefixes("10.9.0.1/24", "fd09::1/64")},
		lab.Port{Host: server, Name: "eth0", Addrs: prefixes("10.9.0.2/24", "fd09::2/64")}, lab.WireOptions{}))
	return client
}

func prefixes(texts ...string) (ps []netip.Prefix) {
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}

func TestPing(t *testing.T) {
	client := pingLab(t)
	tests := []struct {
		addr   string
		reason lvs.Reason
	}{
		{"10.9.0.9", lvs.ReasonTimeout}, {"fd09::9", lvs.ReasonTimeout}, {"10.77.0.1", lvs.ReasonNetwork},
		{"10.9.0.2", ""}, {"fd09::2", ""}, {"127.0.0.1", ""}, {"::1", ""},
	}
	for _, tt := range tests {
		to := netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 53)
		labtest.Must(t, client.Do(func() error {
			began := time.Now()
			c := lvs.Check{Kind: lvs.CheckPing, Attempts: 2, Timeout: 200 * time.Millisecond}
			expect(t, check(t, c, to), tt.reason, "")
			if took := time.Since(began); tt.reason == lvs.ReasonTimeout && took < 400*time.Millisecond {
				t.Errorf("%s: gave up after %v, before the second attempt", tt.addr, took)
			}
			return nil
		}))
	}
}

// The datagrams of a UDP service need no answer, so its host is asked.
func TestConnectOfUDPIsPing(t *testing.T) {
	client := pingLab(t)
	x := lvs.Target{
		Service:     lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("192.0.2.1:53")},
		Destination: netip.MustParseAddrPort("10.9.0.2:53"),
		Check:       lvs.Check{Kind: lvs.CheckConnect, Timeout: time.Second},
	}
	labtest.Must(t, client.Do(func() error {
		expect(t, checkTarget(t, x), "", "")
		return nil
	}))
}

// Without the right to raw sockets a ping socket does.
func TestPingSocket(t *testing.T) {
	client := pingLab(t)
	labtest.Must(t, client.Sysctl("net/ipv4/ping_group_range", "0 2147483647"))
	for _, addr := range []string{"10.9.0.2", "fd09::2"} {
		labtest.Must(t, client.Do(func() error {
			conn, err := dialPing(netip.MustParseAddr(addr))
			if err != nil {
				return err
			}
			defer conn.Close()
			e := echo{family: lvs.FamilyOf(netip.MustParseAddr(addr)), id: 1, seq: 2, data: []byte("weir")}
			conn.SetDeadline(time.Now().Add(time.Second))
			if _, err := conn.Write(e.request()); err != nil {
				return err
			}
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if err != nil {
				return err
			}
			if !e.answeredBy(buf[:n], true) {
				t.Errorf("%s: % x is not taken for the answer", addr, buf[:n])
			}
			return nil
		}))
	}
}

// reply is a good answer to e, made by hand.
func reply(e echo) []byte {
	msg := e.request()
	msg[0] = echoReply4
	if e.family == lvs.IPv6 {
		msg[0] = echoReply6
		return msg
	}
	msg[2], msg[3] = 0, 0
	sum := checksum(msg)
	msg[2], msg[3] = byte(sum>>8), byte(sum)
	return msg
}

func TestEcho(t *testing.T) {
	for _, family := range []lvs.Family{lvs.IPv4, lvs.IPv6} {
		e := echo{family, 0x1234, 7, []byte("odd number of it.")}
		good := reply(e)
		if !e.answeredBy(good, false) {
			t.Errorf("v%d: the answer is not recognised", family)
		}
		if e.answeredBy(e.request(), false) {
			t.Errorf("v%d: the question is taken for its answer", family)
		}
		for i := range good {
			if i == 2 || i == 3 {
				continue // the checksum; the kernel verified ICMPv6's
			}
			bad := bytes.Clone(good)
			bad[i] ^= 1
			if e.answeredBy(bad, false) {
				t.Errorf("v%d: an answer with byte %d wrong is taken", family, i)
			}
		}
		for n := range good {
			if e.answeredBy(good[:n], false) {
				t.Errorf("v%d: %d bytes of the answer are taken", family, n)
			}
		}
	}
}

// Only an answer byte for byte is taken, whatever arrives.
func FuzzEcho(f *testing.F) {
	e4 := echo{lvs.IPv4, 1, 2, []byte("abcd")}
	e6 := echo{lvs.IPv6, 1, 2, []byte("abcd")}
	f.Add([]byte{})
	f.Add(reply(e4))
	f.Add(reply(e6))
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, e := range []echo{e4, e6} {
			taken := e.answeredBy(msg, false)
			want := reply(e)
			same := len(msg) == len(want) && bytes.Equal(msg[:2], want[:2]) && bytes.Equal(msg[4:], want[4:])
			// RFC 1071: all ones and all zeroes are the same sum.
			if e.family == lvs.IPv4 {
				same = same && bytes.Equal(msg[2:4], want[2:4])
			}
			if taken != same {
				t.Errorf("v%d: % x taken: %t, want %t", e.family, msg, taken, same)
			}
		}
	})
}
