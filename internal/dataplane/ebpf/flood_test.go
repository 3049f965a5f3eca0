package ebpf

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lab/labtest"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestFlood: a flood of SYN, or of SCTP's INIT, from tens of thousands of
// sources, many times what the tables hold, takes nothing from anybody who is
// established, and one who opens a connection meanwhile gets it.
func TestFlood(t *testing.T) {
	plain, others, sctp := tcpService(lvs.RR, lvs.Masquerade, 3), tcpService(lvs.RR, lvs.Masquerade, 6), tcpService(lvs.RR, lvs.DirectRoute, 3)
	persistent := plain
	persistent.Persistence = lvs.Persistence{Timeout: 300, Mask: lvs.MaskOf(lvs.IPv4, 32)}
	others.Destinations = others.Destinations[3:]
	sctp.Key.Protocol = lvs.SCTP
	tcp := opening{func(from netip.AddrPort) []byte { return segment(from, vip, "S") }, func(from netip.AddrPort) []byte { return segment(from, vip, "A") }}
	cookie := opening{func(from netip.AddrPort) []byte { return sctpInit(from, vip, 16) }, func(from netip.AddrPort) []byte { return sctpChunk(from, vip, 10, 4) }}
	for _, x := range []struct {
		name         string
		services     []lvs.Service // the first is the friends'
		foe, friends opening
	}{
		{"plain", []lvs.Service{plain}, tcp, tcp},
		{"persistent", []lvs.Service{persistent}, tcp, tcp},
		{"SCTP", []lvs.Service{sctp}, cookie, cookie},
		{"SCTP among SYN", []lvs.Service{sctp, others}, tcp, cookie},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t)
			r.reach(1500, false, x.services...)
			for _, s := range x.services {
				r.put(s)
			}
			x.friends.stand(r, x.foe, x.services[0].Persistence.Timeout != 0)
			r.agree()
		})
	}
}

// An opening is what opens a connection, and what establishes it.
type opening struct {
	first  func(from netip.AddrPort) []byte
	second func(from netip.AddrPort) []byte
}

// stand has friends open connections in the midst of a flood. All stay, and a
// service that remembers clients leads them there again. Its connections are
// established at once: templates that are held give no way, and a half-open
// connection between nothing but those is the next to go.
func (o opening) stand(r *rig, foe opening, remembers bool) {
	friend := func(n int, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)}), port)
	}
	where := func(packet []byte) string {
		f := r.ingress(packet)
		if f.verdict != "forwarded" {
			return f.verdict
		}
		s := r.look(f.out)
		return s.to.Addr().String() + " " + s.dmac.String()
	}
	foes, out, frame := 0, make([]byte, 4096), foe.first(netip.MustParseAddrPort("172.16.0.0:1"))
	flood := func(n int) {
		for range n {
			// Only the source changes; in tc nobody looks at the checksum.
			binary.BigEndian.PutUint32(frame[26:], 172<<24|16<<16|uint32(foes))
			r.plane.engine.program(progIngress).Run(&ebpf.RunOptions{Data: frame, DataOut: out})
			foes++
		}
	}
	at := make([]string, 60)
	for n := range at {
		flood(400)
		time.Sleep(2 * tick) // the table knows by its clock who is older
		at[n] = where(o.first(friend(n, 5000)))
		for try := 0; at[n] == "table-full" && try < 5; try++ {
			flood(400) // a second later; templates may be in the way
			at[n] = where(o.first(friend(n, 5000)))
		}
		if !remembers {
			flood(50)
		}
		if now := where(o.second(friend(n, 5000))); now != at[n] {
			r.Fatalf("friend %d: %s, then %s", n, at[n], now)
		}
	}
	for n := range at {
		if now := where(o.second(friend(n, 5000))); now != at[n] {
			r.Errorf("friend %d: %s, in the end %s", n, at[n], now)
		}
		if remembers && where(o.first(friend(n, 5001))) != at[n] {
			r.Errorf("friend %d comes again and is sent elsewhere", n)
		}
	}
}

// TestDropEntry: drop_entry takes half-open connections, and templates that
// led to nobody, bit by bit; who is established and not idle keeps his.
func TestDropEntry(t *testing.T) {
	for _, persistent := range []uint32{0, 300} {
		r := newRig(t)
		svc := tcpService(lvs.RR, lvs.Masquerade, 3)
		svc.Persistence = lvs.Persistence{Timeout: persistent, Mask: lvs.MaskOf(lvs.IPv4, 32)}
		r.reach(1500, false, svc)
		r.put(svc)
		for n := range 400 {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)}), 5000)
			r.ingress(segment(from, vip, "S"))
			if n%2 == 0 {
				r.ingress(segment(from, vip, "A"))
			}
		}
		count := func() (half, established, templates int) {
			for _, c := range r.conns() {
				switch {
				case c.Template && c.State == lvs.StateNone:
					templates++
				case c.Template:
				case c.State == lvs.StateEstablished:
					established++
				default:
					half++
				}
			}
			return half, established, templates
		}
		r.sweepAll()
		before, _, _ := count()
		if before != 200 {
			t.Fatalf("%d half-open, %v", before, svc.Persistence)
		}
		r.sysctl(lvs.DropEntry, 3)
		for range 100 { // a thirty-second of the table each time
			r.sweepAll()
		}
		half, established, templates := count()
		if half > 40 || established != 200 {
			t.Errorf("%d half-open of %d, %d established are left", half, before, established)
		}
		if persistent != 0 && templates > 60 {
			t.Errorf("%d templates that led to nobody are left", templates)
		}
		r.agree()
	}
}

// TestATemplateKeepsItsNumber: the number of a removed destination is not
// given to another while a template still leads to it.
func TestATemplateKeepsItsNumber(t *testing.T) {
	r := newRig(t)
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	svc.Persistence = lvs.Persistence{Timeout: 300, Mask: lvs.MaskOf(lvs.IPv4, 32)}
	r.reach(1500, false, svc)
	r.put(svc)
	r.ingress(segment(client, vip, "S"))
	past := uint64(ticksNow()-1) << 32
	outliveIn(r, "wides", func(b *engineWideBucket) {
		for i := range b.Conn {
			if b.Conn[i].Ctl&ctlTemplate == 0 {
				b.Conn[i].Ctl = b.Conn[i].Ctl&0xffffffff | past
			}
		}
	})
	r.put(without(svc, svc.Destinations[0].Addr))
	long := func() {
		for _, d := range r.plane.table.dests.all() {
			d.gone = time.Now().Add(-time.Hour)
		}
		r.sweepAll()
		labtest.Must(t, r.plane.forget())
	}
	long()
	if r.plane.table.dests.len() != 1 {
		t.Error("the number was freed under a template")
	}
	r.outlive()
	long()
	if r.plane.table.dests.len() != 0 {
		t.Error("the number was never freed")
	}
}
