package ebpf

import (
	"bytes"
	"context"
	"iter"
	"net/netip"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// This file is the twin of conn.h: how connections are stored is known here
// and there, and nowhere else.

const (
	ctlDestShift  = 12
	ctlDestMask   = 0xfffff
	ctlStateShift = 8
	ctlStateMask  = 0xf
	ctlForward    = 0x3
	ctlTemplate   = 0x10
	ctlBusy       = ctlDestMask
	stateUDP      = 15
)

// A control word of a connection.
type ctl uint64

func (c ctl) dest() uint32            { return uint32(c>>ctlDestShift) & ctlDestMask }
func (c ctl) state() uint8            { return uint8(c>>ctlStateShift) & ctlStateMask }
func (c ctl) forward() lvs.Forwarding { return lvs.Forwarding(c & ctlForward) }
func (c ctl) left(now uint32) int32   { return int32(uint32(c>>32) - now) }
func (c ctl) lives(now uint32) bool   { return c.dest() != 0 && c.dest() != ctlBusy && c.left(now) > 0 }
func (c ctl) connState() lvs.ConnState {
	if c.state() == stateUDP {
		return lvs.StateNone
	}
	return lvs.ConnState(c.state())
}

// ticksNow is the engine's clock.
func ticksNow() uint32 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return uint32(t.Nano() >> 24)
}

// Connections implements dataplane.Observer. The table is read while packets
// change it: each connection is shown as it was at some moment.
func (p *Plane) Connections(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error] {
	return func(yield func(lvs.Connection, error) bool) {
		dests, err := p.readDests()
		if err != nil {
			yield(lvs.Connection{}, err)
			return
		}
		l := lister{ctx: ctx, dests: dests, now: ticksNow(), filter: f, yield: yield, calls: p.engine.maps["call_ids"]}
		for _, name := range []string{"conns4", "half4"} {
			l.err(scan(p.engine.maps[name], l.bucket4))
		}
		for _, name := range []string{"conns6", "half6"} {
			l.err(scan(p.engine.maps[name], l.bucket6))
		}
		l.err(scan(p.engine.maps["wides"], l.wide))
	}
}

// A lister turns entries into connections.
type lister struct {
	ctx    context.Context
	dests  map[uint32]engineDest
	now    uint32
	filter lvs.ConnectionFilter
	yield  func(lvs.Connection, error) bool
	done   bool
	calls  *ebpf.Map
}

func (l *lister) err(err error) {
	if err != nil && !l.done {
		l.done = !l.yield(lvs.Connection{}, err)
	}
}

func (l *lister) bucket4(_ uint32, b *engineBucket4) bool {
	for _, c := range b.Conn {
		if !ctl(c.Ctl).lives(l.now) {
			continue
		}
		k := c.Key
		// In C: address | client port << 32 | service port << 48, each as on the wire.
		addr := uint32(k)
		client := netip.AddrFrom4(*(*[4]byte)(unsafe.Pointer(&addr)))
		if !l.show(ctl(c.Ctl), netip.AddrPortFrom(client, host16(uint16(k>>32))), host16(uint16(k>>48))) {
			return false
		}
	}
	return !l.done
}

func (l *lister) bucket6(_ uint32, b *engineBucket6) bool {
	for _, c := range b.Conn {
		if !ctl(c.Ctl).lives(l.now) {
			continue
		}
		w := [4]uint32{uint32(c.Addr[0]), uint32(c.Addr[0] >> 32), uint32(c.Addr[1]), uint32(c.Addr[1] >> 32)}
		client := netAddr(engineAddr{W: w})
		if !l.show(ctl(c.Ctl), netip.AddrPortFrom(client, host16(uint16(c.Key))), host16(uint16(c.Key>>16))) {
			return false
		}
	}
	return !l.done
}

// show shows a narrow entry: its destination tells the rest.
func (l *lister) show(w ctl, client netip.AddrPort, vport uint16) bool {
	d, ok := l.dests[w.dest()]
	if !ok {
		return !l.done // made after the destinations were read
	}
	key := d.key()
	port := key.addr.Port()
	if port == 0 {
		port = vport
	}
	return l.tell(w, lvs.Connection{
		Protocol: lvs.Protocol(d.Protocol), Client: client,
		Virtual:     netip.AddrPortFrom(key.service.Addr.Addr(), vport),
		Destination: netip.AddrPortFrom(key.addr.Addr(), port),
	})
}

// wide shows the entries of the wide table, which tell all themselves.
func (l *lister) wide(_ uint32, b *engineWideBucket) bool {
	for _, c := range b.Conn {
		w := ctl(c.Ctl)
		if !w.lives(l.now) && (c.Held == 0 || w.dest() == 0 || w.dest() == ctlBusy) {
			continue
		}
		d, ok := l.dests[w.dest()]
		if !ok {
			continue
		}
		template := c.Ctl&ctlTemplate != 0
		shown := l.tell(w, lvs.Connection{
			Protocol: lvs.Protocol(c.Protocol), Template: template, Call: l.call(template, c),
			Client:      netip.AddrPortFrom(netAddr(c.Client), host16(c.Cport)),
			Virtual:     netip.AddrPortFrom(netAddr(c.Vaddr), host16(c.Vport)),
			Destination: netip.AddrPortFrom(netAddr(d.Addr), host16(c.Dport)),
		})
		if !shown {
			return false
		}
	}
	return !l.done
}

// call is the Call-ID of a template of the SIP engine.
func (l *lister) call(template bool, c engineWide) string {
	key := uint64(c.Parent) | uint64(c.Packets)<<32
	if !template || key == 0 {
		return ""
	}
	var text [256]byte
	if err := l.calls.Lookup(key, &text); err != nil {
		return "?" // forgotten: too many calls
	}
	return string(text[:bytes.IndexByte(append(text[:], 0), 0)])
}

func (l *lister) tell(w ctl, c lvs.Connection) bool {
	if l.done || l.ctx.Err() != nil {
		return false
	}
	c.Forward, c.State = w.forward(), w.connState()
	c.Expires = time.Duration(max(w.left(l.now), 0)) * tick
	if l.filter.Match(c) {
		l.done = !l.yield(c, nil)
	}
	return !l.done
}
