package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lvs"
)

// engine is weir's packet engine.
type engine struct {
	mode   ebpf.Mode
	plane  *ebpf.Plane
	table  table
	tuning lvs.Tuning
	r      *rig
	links  []lvs.Link

	stop   func() // the task that forgets connections that are over
	expiry chan error
}

func (e *engine) name() string { return "weir " + string(e.mode) }

func (e *engine) enter(r *rig) (err error) {
	e.r, e.table, e.tuning = r, make(table), lvs.DefaultTuning()
	return r.director.Do(func() error {
		o := ebpf.Options{Mode: e.mode, Connections: 8192, HalfOpen: 8192, Services: 4096, Destinations: 16384}
		if e.plane, err = ebpf.Open(o, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		ctx, stop := context.WithCancel(context.Background())
		e.expiry = make(chan error, 1)
		go func() { e.expiry <- e.plane.Run(ctx) }()
		e.stop = stop
		return nil
	})
}

// begin makes the engine forget what an earlier scenario's routers said about
// the ways: it does so when they change.
func (e *engine) begin() error {
	err := e.r.director.Do(func() error { return e.plane.Reach(context.Background(), lvs.Network{Links: e.links}) })
	return errors.Join(err, e.moved())
}

// reach tells the engine its network, as the network watcher would.
func (e *engine) reach() error {
	n := lvs.Network{Paths: make(map[netip.Addr]lvs.Path)}
	for _, name := range e.r.links() {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		n.Links = append(n.Links, lvs.Link{Index: i.Index, Name: name, MAC: [6]byte(i.HardwareAddr), MTU: i.MTU, Kind: "veth", XDP: true, XDPSend: true})
	}
	for _, v6 := range []bool{false, true} {
		p := Place{e.r.place.Number, v6}
		for _, name := range []string{"local", "loop", "vip", "vip2", "director"} {
			a, err := p.Addr(name)
			if err != nil {
				return err
			}
			n.Paths[a] = lvs.Path{Local: true}
		}
		nobody, err := p.Addr("nobody")
		if err != nil {
			return err
		}
		n.Paths[nobody] = lvs.Path{Trouble: lvs.NoRoute}
		for w := 1; w <= reals; w++ {
			a, err := p.Addr(fmt.Sprintf("rs%d", w))
			if err != nil {
				return err
			}
			l := n.Links[w]
			n.Paths[a] = lvs.Path{Link: l.Index, Via: a, MAC: [6]byte(e.r.wires[w].outer), Source: l.MAC, MTU: l.MTU, From: p.gateway(w)}
		}
	}
	e.links = n.Links
	return e.plane.Reach(context.Background(), n)
}

func (e *engine) moved() error { return e.r.director.Do(e.reach) }

func (e *engine) command(lines []string) error {
	return e.r.director.Do(func() error {
		for _, line := range lines {
			if err := e.apply(strings.Fields(line)); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		return nil
	})
}

// apply carries one line out as the director would, with a change at a time.
func (e *engine) apply(words []string) error {
	if words[0] == "--set" {
		return e.set(words)
	}
	changes, err := e.table.do(words)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.gone {
			err = e.plane.Drop(context.Background(), c.service.Key)
		} else {
			err = e.plane.Put(context.Background(), c.service)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) connections() (out []Connection, err error) {
	p := e.r.place
	for c, err := range e.plane.Connections(context.Background(), lvs.ConnectionFilter{}) {
		if err != nil {
			return nil, err
		}
		if !p.serves(c.Virtual.Addr()) {
			continue // left by an earlier scenario
		}
		out = append(out, Connection{Left: int(c.Expires.Seconds()), What: fmt.Sprintf("%s %s %s %s %s", strings.ToUpper(c.Protocol.String()),
			p.nameport(c.Client), p.nameport(c.Virtual), p.nameport(c.Destination), c.StateName()) + callOf(c)})
	}
	slices.SortFunc(out, func(a, b Connection) int { return strings.Compare(a.What, b.What) })
	return out, nil
}

func callOf(c lvs.Connection) string {
	if c.Call == "" {
		return ""
	}
	return " " + c.Call
}

// each lists the services with a line for each destination, as they stand in
// the engine itself.
func (e *engine) each(show func(lvs.Destination, lvs.DestinationCounters) string) (out []string, err error) {
	totals, err := e.plane.Totals(context.Background())
	if err != nil {
		return nil, err
	}
	services := make(map[string][]string)
	for s, err := range e.plane.Installed(context.Background()) {
		if err != nil {
			return nil, err
		}
		name := "service " + serviceName(e.r.place, s.Key)
		services[name] = []string{name}
		for i, d := range s.Destinations {
			c := totals.Services[s.Key].Of(i, d.Addr)
			services[name] = append(services[name], fmt.Sprintf("  %s %s", e.r.place.nameport(d.Addr), show(d, c)))
		}
	}
	order := make([]string, 0, len(services))
	for name := range services {
		order = append(order, name)
	}
	slices.Sort(order)
	for _, name := range order {
		out = append(out, services[name]...)
	}
	return out, nil
}

func serviceName(p Place, k lvs.ServiceKey) string {
	if k.Mark != 0 {
		return "FWM " + p.markText(k.Mark)
	}
	return k.Protocol.String() + " " + p.nameport(k.Addr)
}

func (e *engine) destinations() ([]string, error) {
	return e.each(func(d lvs.Destination, c lvs.DestinationCounters) string {
		return fmt.Sprintf("%s weight=%d active=%d inactive=%d", d.Forward, d.Weight, c.Active, c.Inactive)
	})
}

func (e *engine) counters() ([]string, error) {
	return e.each(func(_ lvs.Destination, c lvs.DestinationCounters) string {
		return fmt.Sprintf("conns=%d in=%d/%d out=%d/%d", c.Connections, c.InPackets, c.InBytes, c.OutPackets, c.OutBytes)
	})
}

func (e *engine) clear() error {
	return errors.Join(e.command([]string{"-C"}), e.tune(func(t *lvs.Tuning) { *t = lvs.DefaultTuning() }))
}

// tune changes what the engine is told beside its services.
func (e *engine) tune(change func(*lvs.Tuning)) error {
	return e.r.director.Do(func() error {
		change(&e.tuning)
		return e.plane.Tune(context.Background(), e.tuning)
	})
}

func (e *engine) sysctl(name string, value int) error {
	return e.tune(func(t *lvs.Tuning) {
		for _, s := range lvs.AllSysctls() {
			if s.Info().Name == name {
				t.Sysctls[s] = value
			}
		}
	})
}

func (e *engine) mark(r lvs.Rule) error {
	return e.tune(func(t *lvs.Tuning) { t.Rules = append(slices.Clone(t.Rules), r) })
}

// set is ipvsadm --set; zero keeps what was.
func (e *engine) set(words []string) error {
	var d [3]time.Duration
	for i := range d {
		n, err := strconv.Atoi(words[i+1])
		if err != nil {
			return err
		}
		d[i] = time.Duration(n) * time.Second
	}
	return e.tune(func(t *lvs.Tuning) {
		t.Timeouts = lvs.Timeouts{TCP: cmp.Or(d[0], t.Timeouts.TCP), TCPFin: cmp.Or(d[1], t.Timeouts.TCPFin), UDP: cmp.Or(d[2], t.Timeouts.UDP)}
	})
}

func (e *engine) leave() error {
	e.stop()
	return errors.Join(<-e.expiry, e.plane.Close())
}
