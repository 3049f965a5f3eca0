package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lvs"
)

// A duelist is who balances on a field.
type duelist struct {
	name  string
	set   func(ctx context.Context, d *duelist) error
	bare  bool // knows no flows
	field *field
	known func(port uint16) (uint64, error)
	plane *dataplane.Plane // of weir
}

// turn lets weir forget outlived connections for as long as fn runs, as it does
// where it is alone; the other's sweep rests meanwhile.
func (d *duelist) turn(ctx context.Context, fn func() error) error {
	if d.plane == nil {
		return fn()
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.plane.Run(ctx) }()
	err := fn()
	stop()
	return errors.Join(err, <-done)
}

func (d *duelist) leave() error {
	var err error
	if d.plane != nil {
		err = errors.Join(d.field.director.Do(dataplane.Remove), d.plane.Close())
	}
	return errors.Join(err, d.field.close())
}

func duelists(log *slog.Logger) []*duelist {
	weir := func(mode dataplane.Mode) func(context.Context, *duelist) error {
		return func(ctx context.Context, d *duelist) error { return d.balance(ctx, mode, log) }
	}
	return []*duelist{
		{name: "ip_vs", set: func(ctx context.Context, d *duelist) error { return d.ipvs(ctx) }},
		{name: "weir, XDP", set: weir(dataplane.XDP)},
		{name: "weir, tc", set: weir(dataplane.TC)},
		{name: "bare redirect, XDP", bare: true, set: func(_ context.Context, d *duelist) error { return d.field.bare(true) }},
		{name: "bare redirect, tc", bare: true, set: func(_ context.Context, d *duelist) error { return d.field.bare(false) }},
	}
}

// A bout is one thing duelists are compared in: a service of its own.
type bout struct {
	name    string
	service lvs.Service
	anew    bool
}

func bouts() (all []bout) {
	for i, b := range []bout{
		{"gate", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false), false},
		{"masq", service(lvs.TCP, lvs.WLC, lvs.Masquerade, 3, false), false},
		{"ipip", service(lvs.TCP, lvs.WLC, lvs.Tunnel, 3, false), false},
		{"new connections, wlc, 3 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false), true},
		{"new connections, wlc, 1000 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 1000, false), true},
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

// rules are the services as ipvsadm restores them.
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

func (d *duelist) ipvs(ctx context.Context) error {
	director := d.field.director
	if err := director.Sysctl("net/ipv4/vs/sloppy_tcp", "1"); err != nil {
		return err
	}
	cmd := director.Command(ctx, "ipvsadm", "-R")
	cmd.Stdin = strings.NewReader(rules(bouts()))
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

// balance hangs weir's engine on the director's interfaces. Weir itself would
// not send to a veth from XDP on a kernel before 6.3, which cannot say that it
// takes frames; the field's do.
func (d *duelist) balance(ctx context.Context, mode dataplane.Mode, log *slog.Logger) error {
	err := d.field.director.Do(func() (err error) {
		if d.plane, err = dataplane.Open(dataplane.Options{Mode: mode, Connections: 1_000_000}, log); err != nil {
			return err
		}
		var n lvs.Network
		for _, name := range []string{"front", "back"} {
			i, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			n.Links = append(n.Links, lvs.Link{Index: i.Index, Name: name, MAC: [6]byte(i.HardwareAddr), MTU: i.MTU, Kind: "veth", XDPSend: true})
		}
		n.Paths = make(map[netip.Addr]lvs.Path)
		for _, b := range bouts() {
			for _, x := range b.service.Destinations {
				n.Paths[x.Addr.Addr()] = lvs.Path{Link: n.Links[1].Index, Via: fieldRouter, MAC: [6]byte(sinkMAC), Source: n.Links[1].MAC, MTU: n.Links[1].MTU, From: fieldBack.Addr()}
			}
		}
		return d.plane.Reach(ctx, n)
	})
	if err != nil {
		return err
	}
	for _, b := range bouts() {
		if err := d.plane.Put(ctx, b.service); err != nil {
			return err
		}
	}
	tuning := lvs.DefaultTuning()
	tuning.Sysctls[lvs.SloppyTCP] = 1
	if err := d.plane.Tune(ctx, tuning); err != nil {
		return err
	}
	d.known = func(port uint16) (n uint64, err error) {
		t, err := d.plane.Totals(ctx)
		for _, x := range t.Services[lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(vip4, port)}].Destinations {
			n += uint64(x.Active)
		}
		return n, err
	}
	return nil
}

// DuelOptions say how long duels last.
type DuelOptions struct {
	Log    *slog.Logger
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
			err = errors.Join(err, d.leave())
		}
	}()
	for _, d := range duelists(o.Log) {
		if o.Only != nil && !o.Only(d.name) {
			continue
		}
		if d.field, err = newField(); err != nil {
			return s, err
		}
		all = append(all, d)
		if err := d.set(ctx, d); err != nil {
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
	for _, d := range all {
		if d.plane != nil {
			// Its table is made for a million, not for a million of each service.
			if err := d.plane.ForgetFlows(); err != nil {
				return err
			}
		}
	}
	next := uint32(0)
	for _, flows := range sizes {
		got := make([][]float64, len(all))
		for i, d := range all {
			if err := d.turn(ctx, func() error { return d.open(ctx, b, &open[i], flows) }); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
		for range o.Rounds {
			r := run{frame: request(b.service, ack), flows: flows, random: true, times: o.Times}
			if b.anew {
				r = run{frame: request(b.service, syn), first: next, times: o.Times / uint32(1+len(b.service.Destinations)/250)}
				next += r.times
			}
			for i, d := range all {
				err := d.turn(ctx, func() error {
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

// open makes more flows known, up to a number. One ACK is enough (sloppy_tcp):
// in an emulated machine a million SYNs before them take half a minute.
func (d *duelist) open(ctx context.Context, b bout, have *uint32, flows uint32) error {
	if d.bare || b.anew {
		return nil
	}
	const batch = 4096
	for first := *have; first < flows; first += batch {
		if _, _, err := d.field.send(ctx, run{frame: request(b.service, ack), first: first, flows: flows, times: min(batch, flows-first)}); err != nil {
			return err
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
