package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A duelist is who balances on a field.
type duelist struct {
	name  string
	set   func(ctx context.Context, d *duelist, rules string) error
	bare  bool // knows no flows
	field *field
	known func(port uint16) (uint64, error)
	weir  *daemon
}

// turn lets the duelist's own processes run for as long as fn does. Those of
// the others, which share the processor, stand still meanwhile.
func (d *duelist) turn(fn func() error) error {
	if d.weir == nil {
		return fn()
	}
	if err := d.weir.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return errors.Join(fn(), d.weir.cmd.Process.Signal(syscall.SIGSTOP))
}

func (d *duelist) leave(ctx context.Context) error {
	var err error
	if d.weir != nil {
		_ = d.weir.cmd.Process.Signal(syscall.SIGCONT) // it may have ended
		err = d.weir.close(ctx)
	}
	return errors.Join(err, d.field.close())
}

func duelists(exe string) []*duelist {
	weir := func(mode string) func(context.Context, *duelist, string) error {
		return func(ctx context.Context, d *duelist, rules string) error { return d.balance(ctx, rules, exe, mode) }
	}
	return []*duelist{
		{name: "ip_vs", set: func(ctx context.Context, d *duelist, rules string) error { return d.ipvs(ctx, rules) }},
		{name: "weir, XDP", set: weir("xdp")},
		{name: "weir, tc", set: weir("tc")},
		{name: "bare redirect, XDP", bare: true, set: func(_ context.Context, d *duelist, _ string) error { return d.field.bare() }},
	}
}

// A bout is one thing duelists are compared in: a service of its own.
type bout struct {
	name    string
	service lvs.Service
	anew    bool
	most    uint32 // flows: all services share one table, made for a million
}

func bouts() (all []bout) {
	for i, b := range []bout{
		{"gate", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false), false, 1_000_000},
		{"masq", service(lvs.TCP, lvs.WLC, lvs.Masquerade, 3, false), false, 300_000},
		{"ipip", service(lvs.TCP, lvs.WLC, lvs.Tunnel, 3, false), false, 300_000},
		{"new connections, wlc, 3 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false), true, 0},
		{"new connections, wlc, 1000 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 1000, false), true, 0},
	} {
		port := uint16(80 + i)
		b.service.Key.Addr = netip.AddrPortFrom(vip4, port)
		for j := range b.service.Destinations {
			if d := &b.service.Destinations[j]; d.Forward != lvs.Masquerade {
				d.Addr = netip.AddrPortFrom(d.Addr.Addr(), port)
			}
		}
		all = append(all, b)
	}
	return all
}

// rules are the services as ipvsadm restores them, and as weir reads them.
func rules(all []bout) string {
	letter := map[lvs.Forwarding]string{lvs.DirectRoute: "-g", lvs.Masquerade: "-m", lvs.Tunnel: "-i"}
	var b strings.Builder
	for _, x := range all {
		fmt.Fprintf(&b, "-A -t %s -s %s\n", x.service.Key.Addr, x.service.Scheduler)
		for _, d := range x.service.Destinations {
			fmt.Fprintf(&b, "-a -t %s -r %s %s -w %d\n", x.service.Key.Addr, d.Addr, letter[d.Forward], d.Weight)
		}
	}
	return b.String()
}

func (d *duelist) ipvs(ctx context.Context, rules string) error {
	director := d.field.director
	cmd := director.Command(ctx, "ipvsadm", "-R")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ipvsadm -R: %w: %s", err, out)
	}
	d.known = func(port uint16) (uint64, error) {
		out, err := director.Command(ctx, "ipvsadm", "-Ln", "-t", fmt.Sprintf("%s:%d", vip4, port)).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("ipvsadm -L: %w: %s", err, out)
		}
		return activeIn(string(out))
	}
	return nil
}

// activeIn adds up the active connections of one of ipvsadm's listings.
func activeIn(listing string) (n uint64, err error) {
	for line := range strings.Lines(listing) {
		w := strings.Fields(line)
		if len(w) != 6 || w[0] != "->" || w[1] == "RemoteAddress:Port" {
			continue
		}
		x, err := strconv.ParseUint(w[4], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %q: %w", line, err)
		}
		n += x
	}
	return n, nil
}

// balance starts a weir with the rules, and has it stand still when it is ready.
func (d *duelist) balance(ctx context.Context, rules, exe, mode string) (err error) {
	if d.weir, err = newDaemon(d.field.director, exe); err != nil {
		return err
	}
	if err := d.weir.start(rules, "--format", "ipvsadm", "--mode", mode); err != nil {
		return err
	}
	d.known = func(port uint16) (n uint64, err error) {
		all, err := d.weir.ask.ServicesMatching(ctx, lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip4, port)})
		for _, s := range all {
			for _, x := range s.Destinations {
				n += uint64(x.Active)
			}
		}
		return n, err
	}
	return d.turn(func() error { return d.weir.await(ctx, "weir's table", 5*time.Minute, d.weir.ready(ctx, len(bouts()))) })
}

// DuelOptions say how long duels last.
type DuelOptions struct {
	Weir   string
	Flows  []uint32
	Rounds int
	Times  uint32
	First  bool                   // the kernel's receiving goes before everybody else
	Only   func(name string) bool // of the duelists; nil: all
	Out    io.Writer
}

// Duel compares packets a second where they are forwarded for good, by weir
// and by the kernel's IPVS.
func Duel(ctx context.Context, o DuelOptions) (s Series, err error) {
	s = Series{Name: "ipvs", Title: "Against the kernel's IPVS", Unit: "packets/s, through to the sink", Base: "ip_vs"}
	if o.First {
		if err := receiveFirst(); err != nil {
			return s, err
		}
	}
	var all []*duelist
	defer func() {
		for _, d := range all {
			err = errors.Join(err, d.leave(ctx))
		}
	}()
	for _, d := range duelists(o.Weir) {
		if o.Only != nil && !o.Only(d.name) {
			continue
		}
		if d.field, err = newField(); err != nil {
			return s, err
		}
		all = append(all, d)
		if err := d.set(ctx, d, rules(bouts())); err != nil {
			return s, fmt.Errorf("%s: %w", d.name, err)
		}
		fmt.Fprintln(o.Out, d.name, "is ready")
	}
	for _, b := range bouts() {
		if err := o.bout(ctx, b, all, &s); err != nil {
			return s, fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return s, nil
}

func (o DuelOptions) bout(ctx context.Context, b bout, all []*duelist, s *Series) error {
	sizes := o.Flows
	if b.anew {
		sizes = []uint32{0}
	}
	open := make([]uint32, len(all))
	next := uint32(0)
	for _, flows := range sizes {
		flows = min(flows, b.most)
		got := make([][]float64, len(all))
		for i, d := range all {
			if err := d.turn(func() error { return d.open(ctx, b, &open[i], flows) }); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
		for range o.Rounds {
			r := run{frame: request(b.service, ack), flows: flows, random: true, times: o.Times}
			if b.anew {
				r = run{frame: request(b.service, syn), first: next, times: o.Times / uint32(1+len(b.service.Destinations)/100)}
				next += r.times
			}
			for i, d := range all {
				err := d.turn(func() error {
					rate, err := d.rate(ctx, r)
					got[i] = append(got[i], rate)
					return err
				})
				if err != nil {
					return fmt.Errorf("%s: %w", d.name, err)
				}
			}
		}
		row := b.name
		if !b.anew {
			row = fmt.Sprintf("%s, %s flows", b.name, grouped(int64(flows)))
		}
		for i, d := range all {
			v := Value{Row: row, Column: d.name, Figure: figure(got[i]), Base: figure(got[0])}
			fmt.Fprintf(o.Out, "%s: %s: %s\n", row, d.name, s.cell(v))
			s.Values = append(s.Values, v)
		}
	}
	return nil
}

// open makes more flows known, up to a number.
func (d *duelist) open(ctx context.Context, b bout, have *uint32, flows uint32) error {
	if d.bare || b.anew {
		return nil
	}
	const batch = 4096
	for first := *have; first < flows; first += batch {
		for _, flags := range []uint8{syn, ack} {
			if _, _, err := d.field.send(ctx, run{frame: request(b.service, flags), first: first, flows: flows, times: min(batch, flows-first)}); err != nil {
				return err
			}
		}
	}
	*have = flows
	n, err := d.known(b.service.Key.Addr.Port())
	if err != nil {
		return err
	}
	return counts{active: n}.about(uint64(flows))
}

// rate is how many packets a second went all the way; hardly any may be lost.
func (d *duelist) rate(ctx context.Context, r run) (float64, error) {
	took, arrived, err := d.field.send(ctx, r)
	if err != nil {
		return 0, err
	}
	if sent := uint64(r.times); arrived > sent+100 || arrived < sent-sent/100 {
		return 0, fmt.Errorf("%w: %d of %d packets arrived", errOtherRoad, arrived, sent)
	}
	return float64(r.times) / took.Seconds(), nil
}
