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

// TestFlood: a SYN flood from tens of thousands of sources, many times what
// the tables hold, takes nothing from anybody who is established, and one who
// opens a connection meanwhile gets it.
func TestFlood(t *testing.T) {
	persistent := tcpService(lvs.RR, lvs.Masquerade, 3)
	persistent.Persistence = lvs.Persistence{Timeout: 300, Mask: lvs.MaskOf(lvs.IPv4, 32)}
	for name, svc := range map[string]lvs.Service{"plain": tcpService(lvs.RR, lvs.Masquerade, 3), "persistent": persistent} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.reach(1500, false, svc)
			r.put(svc)
			friend := func(n int) netip.AddrPort {
				return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)}), 5000)
			}
			const friends = 200
			at := make([]netip.AddrPort, friends)
			open := func(n int) {
				at[n] = r.look(r.ingress(segment(friend(n), vip, "S")).out).to
				if f := r.ingress(segment(friend(n), vip, "A")); f.verdict != "forwarded" || r.look(f.out).to != at[n] {
					t.Fatalf("friend %d: %q", n, f.verdict)
				}
			}
			out := make([]byte, 4096)
			foe, frame := netip.AddrFrom4([4]byte{172, 16, 0, 0}), segment(netip.MustParseAddrPort("172.16.0.0:1"), vip, "S")
			for n := range 40_000 {
				if n%200 == 0 {
					open(n / 200)
				}
				// Only the source changes; in tc nobody looks at the checksum.
				src := foe.As4()
				binary.BigEndian.PutUint32(frame[26:], binary.BigEndian.Uint32(src[:])+uint32(n))
				r.plane.engine.program(progIngress).Run(&ebpf.RunOptions{Data: frame, DataOut: out})
			}
			for n := range friends {
				f := r.ingress(segment(friend(n), vip, "A"))
				if f.verdict != "forwarded" || r.look(f.out).to != at[n] {
					t.Errorf("friend %d: %q", n, f.verdict)
				}
				again := netip.AddrPortFrom(friend(n).Addr(), 5001)
				if f := r.ingress(segment(again, vip, "S")); svc.Persistence.Timeout != 0 && r.look(f.out).to != at[n] {
					t.Errorf("friend %d comes again and is sent elsewhere", n)
				}
			}
			r.agree()
		})
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
		for _, d := range r.plane.table.dests {
			d.gone = time.Now().Add(-time.Hour)
		}
		r.sweepAll()
		labtest.Must(t, r.plane.forget())
	}
	long()
	if len(r.plane.table.dests) != 1 {
		t.Error("the number was freed under a template")
	}
	r.outlive()
	long()
	if len(r.plane.table.dests) != 0 {
		t.Error("the number was never freed")
	}
}
