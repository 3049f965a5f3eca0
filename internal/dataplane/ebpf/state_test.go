package ebpf

import (
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// The TCP state table of IPVS as its documentation has it: the state, then
// what SYN, FIN, ACK and RST make of it, for requests, answers, and requests
// of connections whose answers never pass. "=" stays.
const tcpTable = `
NONE        SYN_RECV CLOSE      ESTABLISHED CLOSE    | SYN_SENT TIME_WAIT ESTABLISHED CLOSE | SYN_RECV CLOSE     ESTABLISHED CLOSE
ESTABLISHED =        CLOSE_WAIT =           CLOSE    | =        FIN_WAIT  =           CLOSE | =        FIN_WAIT  =           CLOSE
SYN_SENT    ESTABLISHED =       =           CLOSE    | =        =         =           =     | ESTABLISHED =      =           CLOSE
SYN_RECV    =        TIME_WAIT  ESTABLISHED =        | =        TIME_WAIT ESTABLISHED CLOSE | =        TIME_WAIT ESTABLISHED =
FIN_WAIT    SYN_RECV TIME_WAIT  =           CLOSE    | SYN_SENT =         =           CLOSE | SYN_RECV =         =           CLOSE
TIME_WAIT   SYN_RECV =          =           CLOSE    | SYN_SENT =         =           =     | SYN_RECV =         =           CLOSE
CLOSE       SYN_RECV =          =           =        | SYN_SENT =         =           =     | SYN_RECV =         =           =
CLOSE_WAIT  SYN_RECV =          =           CLOSE    | SYN_SENT TIME_WAIT =           CLOSE | SYN_RECV =         =           CLOSE
LAST_ACK    SYN_RECV =          CLOSE       =        | SYN_SENT =         =           CLOSE | SYN_RECV =         CLOSE       =
LISTEN      SYN_RECV =          =           =        | =        =         ESTABLISHED CLOSE | SYN_RECV =         =           =
SYNACK      SYN_RECV TIME_WAIT  ESTABLISHED SYN_RECV | SYN_RECV TIME_WAIT ESTABLISHED CLOSE | SYN_RECV TIME_WAIT ESTABLISHED CLOSE
`

var tcpEvents = []flags{"S", "F", "A", "R"}

func TestTCPStates(t *testing.T) {
	newRig(t)
	for _, line := range strings.Split(strings.TrimSpace(tcpTable), "\n") {
		columns := strings.Split(line, "|")
		from := strings.Fields(columns[0])[0]
		for dir, column := range columns {
			cells := strings.Fields(column)
			if dir == 0 {
				cells = cells[1:]
			}
			for ev, want := range cells {
				if want == "=" {
					want = from
				}
				if got := transition(t, from, dir, tcpEvents[ev]); got != want {
					t.Errorf("%s, column %d, %s: %s, want %s", from, dir, tcpEvents[ev], got, want)
				}
			}
		}
	}
}

// transition puts a connection into a state and shows it one segment.
func transition(t *testing.T, from string, dir int, f flags) string {
	r := newRigKept(t)
	forward := lvs.Masquerade
	if dir == 2 {
		forward = lvs.DirectRoute
	}
	svc := tcpService(lvs.RR, forward, 1)
	r.reach(1500, true, svc) // local: answers then leave by egress, without a route
	r.put(svc)
	defer func() {
		r.forgetAll()
		r.plane.Drop(t.Context(), svc.Key)
	}()
	r.ingress(segment(client, vip, "S"))
	r.setState(stateNumber(t, from))
	if dir == 1 {
		r.egress(segment(svc.Destinations[0].Addr, client, f))
	} else {
		r.ingress(segment(client, vip, f))
	}
	all := r.conns()
	if len(all) != 1 {
		t.Fatalf("%s, %s: %d connections", from, f, len(all))
	}
	return all[0].State.Name(lvs.TCP)
}

func stateNumber(t *testing.T, name string) uint64 {
	for s := lvs.ConnState(0); s <= lvs.StateSynAck; s++ {
		if s.Name(lvs.TCP) == name {
			return uint64(s)
		}
	}
	t.Fatalf("no state %q", name)
	return 0
}

// eachWord lets f change the control words of the IPv4 tables.
func (r *rig) eachWord(f func(word uint64) uint64) {
	r.eachEntry(func(_, word uint64) uint64 { return f(word) })
}

func (r *rig) eachEntry(f func(key, word uint64) uint64) {
	for _, name := range []string{"conns4", "half4"} {
		m := r.plane.engine.maps[name]
		err := scan(m, func(i uint32, b *engineBucket4) bool {
			changed := *b
			for w := range changed.Conn {
				if ctl(changed.Conn[w].Ctl).dest() != 0 {
					changed.Conn[w].Ctl = f(changed.Conn[w].Key, changed.Conn[w].Ctl)
				}
			}
			if changed != *b {
				if err := m.Put(i, changed); err != nil {
					r.Fatal(err)
				}
			}
			return true
		})
		if err != nil {
			r.Fatal(err)
		}
	}
}

func (r *rig) setState(state uint64) {
	r.eachWord(func(w uint64) uint64 { return w&^(ctlStateMask<<ctlStateShift) | state<<ctlStateShift })
}

func (r *rig) forgetAll() { r.eachWord(func(uint64) uint64 { return 0 }) }

// newRigKept is a rig over the shared engine as the last test left it, for
// tests that clean up themselves.
func newRigKept(t *testing.T) *rig {
	t.Helper()
	return newRigOver(t, false)
}

func TestTimersFollowTheState(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	for _, tt := range []struct {
		f       flags
		seconds float64
	}{{"S", 60}, {"A", 900}, {"FA", 120}, {"R", 10}} {
		r.ingress(segment(client, vip, tt.f))
		c := r.conns()[0]
		if left := c.Expires.Seconds(); left < tt.seconds-1 || left > tt.seconds+0.1 {
			t.Errorf("%s: %s with %.1f s left, want %.0f", tt.f, c.State.Name(lvs.TCP), left, tt.seconds)
		}
	}
	udp := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.UDP, Addr: vip}, Scheduler: lvs.RR, Destinations: svc.Destinations}
	r.put(udp)
	r.ingress(datagram(client, vip, "x"))
	for _, c := range r.conns() {
		if c.Protocol == lvs.UDP && (c.Expires.Seconds() < 299 || c.Expires.Seconds() > 300.1) {
			t.Errorf("UDP with %s left, want 300 s", c.Expires)
		}
	}
}

func TestActiveAndInactive(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	for _, tt := range []struct {
		f                flags
		active, inactive uint32
	}{{"S", 1, 0}, {"S", 1, 0}, {"A", 1, 0}, {"A", 1, 0}, {"FA", 0, 1}, {"R", 0, 1}} {
		r.ingress(segment(client, vip, tt.f))
		if a, i := r.load(svc.Key, svc.Destinations[0]); a != tt.active || i != tt.inactive {
			t.Errorf("after %s: %d active, %d inactive; want %d, %d", tt.f, a, i, tt.active, tt.inactive)
		}
	}
}

func TestExpiry(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	r.ingress(segment(client, vip, "S"))
	r.ingress(segment(client, vip, "A"))
	r.eachWord(func(w uint64) uint64 { return w&0xffffffff | uint64(ticksNow()-1)<<32 })
	if f := r.ingress(segment(client, vip, "A")); f.verdict != "not-opening" {
		t.Errorf("a segment of an outlived connection: %q", f.verdict)
	}
	use := r.sweepAll()
	if a, i := r.load(svc.Key, svc.Destinations[0]); a != 0 || i != 0 || use.Used != 0 {
		t.Errorf("after the sweep: %d active, %d inactive, %d used", a, i, use.Used)
	}
}

func TestDrainedDestinationsAreForgotten(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.DirectRoute, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	r.ingress(segment(client, vip, "S"))
	if err := r.plane.Drop(t.Context(), svc.Key); err != nil {
		t.Fatal(err)
	}
	long := func() {
		for _, d := range r.plane.table.dests.all() {
			d.gone = d.gone.Add(-61e9)
		}
	}
	long()
	if err := r.plane.forget(); err != nil || r.plane.table.dests.len() != 1 {
		t.Fatalf("a destination with a connection was forgotten (%v)", err)
	}
	r.forgetAll()
	if err := r.plane.write("lives", r.plane.table.dests.get(destKey{svc.Key, svc.Destinations[0].Addr}).id, engineLive{}); err != nil {
		t.Fatal(err)
	}
	if err := r.plane.forget(); err != nil || r.plane.table.dests.len() != 0 {
		t.Errorf("a drained destination was kept (%v)", err)
	}
}
