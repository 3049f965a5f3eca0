package memory

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

var (
	who  = netip.MustParseAddrPort("10.0.0.9:1000")
	web  = netip.MustParseAddrPort("192.0.2.1:80")
	one  = netip.MustParseAddrPort("10.1.0.1:80")
	two  = netip.MustParseAddrPort("10.1.0.2:80")
	none netip.Addr
)

func syn(port uint16) Packet {
	return Packet{Protocol: lvs.TCP, From: netip.AddrPortFrom(who.Addr(), port), To: web, SYN: true}
}

func service(s lvs.Scheduler, dests ...lvs.Destination) lvs.Service {
	return lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: web}, Scheduler: s, Destinations: dests}
}

// A told packet is one and what must become of it.
type told struct {
	at   time.Duration
	p    Packet
	fate Fate
	to   netip.Addr
}

func (m *Model) expect(t *testing.T, list ...told) {
	t.Helper()
	for i, x := range list {
		if fate, to := m.Carry(x.at, x.p); fate != x.fate || to != x.to {
			t.Errorf("packet %d: fate %d to %s, want %d to %s", i, fate, to, x.fate, x.to)
		}
	}
}

func TestModelFollowsConnections(t *testing.T) {
	m := NewModel()
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, lvs.Destination{Addr: one, Weight: 1}, lvs.Destination{Addr: two, Weight: 1})))
	ack := Packet{Protocol: lvs.TCP, From: who, To: web, ACK: true}
	answer := Packet{Protocol: lvs.TCP, From: one, To: who, SYN: true, ACK: true}
	m.expect(t,
		told{0, ack, Passed, none},
		told{0, syn(1000), Sent, one.Addr()},
		told{0, syn(1001), Sent, two.Addr()},
		told{0, answer, Replied, none},
		told{0, ack, Sent, one.Addr()},
		told{16 * time.Minute, ack, Passed, none}, // forgotten after 15
	)
	m.expect(t, told{16 * time.Minute, syn(1000), Sent, one.Addr()})
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, lvs.Destination{Addr: two, Weight: 1})))
	m.expect(t, told{16 * time.Minute, ack, Dropped, none})
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, lvs.Destination{Addr: two, Weight: 0})))
	m.expect(t, told{16 * time.Minute, syn(1002), Answered, none})
}

func TestModelKeepsThresholds(t *testing.T) {
	m := NewModel()
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, lvs.Destination{Addr: one, Weight: 1, Upper: 2, Lower: 1})))
	reset := Packet{Protocol: lvs.TCP, From: one, To: who, RST: true}
	m.expect(t,
		told{0, syn(1000), Sent, one.Addr()},
		told{0, syn(1001), Sent, one.Addr()},
		told{0, syn(1002), Answered, none},
		told{0, reset, Replied, none},
		told{11 * time.Second, syn(1002), Answered, none}, // one is left: not below the lower threshold
		told{61 * time.Second, syn(1002), Sent, one.Addr()},
	)
}

// A full server that was taken out and is back is as full as before.
func TestModelKnowsWhoComesBackFull(t *testing.T) {
	m := NewModel()
	full := lvs.Destination{Addr: one, Weight: 1, Upper: 2, Lower: 1}
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, full)))
	m.expect(t, told{0, syn(1000), Sent, one.Addr()}, told{0, syn(1001), Sent, one.Addr()})
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR)))
	full.Upper, full.Lower = 4, 2
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, full)))
	m.expect(t, told{0, syn(1002), Answered, none})
	full.Lower = 3
	labtest.Must(t, m.Put(t.Context(), service(lvs.RR, full)))
	m.expect(t, told{0, syn(1002), Sent, one.Addr()})
}

func TestModelRemembersClients(t *testing.T) {
	m := NewModel()
	svc := service(lvs.RR, lvs.Destination{Addr: one, Weight: 1}, lvs.Destination{Addr: two, Weight: 1})
	svc.Persistence = lvs.Persistence{Timeout: 30, Mask: lvs.MaskOf(lvs.IPv4, 31)}
	labtest.Must(t, m.Put(t.Context(), svc))
	other, third := syn(1), syn(1)
	other.From = netip.MustParseAddrPort("10.0.0.10:1")
	third.From = netip.MustParseAddrPort("10.0.0.12:1")
	m.expect(t,
		told{0, syn(1000), Sent, one.Addr()},
		told{0, other, Sent, two.Addr()},
		told{0, third, Sent, one.Addr()},
		told{0, syn(1001), Sent, one.Addr()},
		// Held by its connections (60 s), the template lives on by a minute.
		told{40 * time.Second, syn(1002), Sent, one.Addr()},
		told{3 * time.Minute, syn(1003), Sent, two.Addr()},
	)
	if living := m.Living(3 * time.Minute); len(living) != 1 || living[0].Destination != two {
		t.Errorf("connections %v", living)
	}
}
