package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

// PeerOptions say what is compared with other balancers' programs, and how.
type PeerOptions struct {
	Folder string         // with their objects
	Only   *regexp.Regexp // of matches by name; nil: all
	Flows  []uint32
	Rounds int
	Times  uint32
	Out    io.Writer
}

// matches are what weir is compared in. Katran only wraps: what it is compared
// with where weir sends through a gate is its tunnel.
func matches() []match {
	tunnel := func(p lvs.Protocol, v6 bool) lvs.Service { return service(p, lvs.WLC, lvs.Tunnel, 3, v6) }
	gate := service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false)
	gue := lvs.Encap{Type: lvs.GUE, Port: 6080, Checksum: lvs.Checksum}
	other := known()[len(known())-1]
	opening, full := opens("new flow", gate), flood()
	full.name = "new flow, table full"
	return []match{
		{row: established("gate", gate), grows: map[string]int{"Katran": 20, "xvs": 0}},
		{row: established("ipip", tunnel(lvs.TCP, false)), grows: map[string]int{"Katran": 20, "xvs": 20}},
		{row: established("ipip, UDP", tunnel(lvs.UDP, false)), grows: map[string]int{"Katran": 20, "xvs": 20}, forgets: "xvs"},
		{row: established("ipip, IPv6", tunnel(lvs.TCP, true)), grows: map[string]int{"Katran": 40, "xvs": 40}},
		{row: established("gue, checksum", through(tunnel(lvs.TCP, false), gue)), grows: map[string]int{"Katran": katranGUEBytes, "xvs": 20 + 8 + 4}},
		{row: other, grows: map[string]int{"Katran": 0, "xvs": 0}},
		{row: opening, grows: map[string]int{"Katran": 20, "xvs": 0}},
		{row: full, grows: map[string]int{"Katran": 20, "xvs": 0}},
	}
}

// tables are how many flows the peers' tables have room for.
func (m match) tables() uint32 {
	switch {
	case m.evict:
		return 1_000_000
	case m.anew:
		return uint32(roomy.Connections)
	}
	return 4_000_000
}

// Peers measures weir beside other balancers' programs, one after the other in
// each round.
func Peers(ctx context.Context, o PeerOptions, log *slog.Logger) (all []Series, err error) {
	of, err := versions(o.Folder)
	if err != nil {
		return nil, fmt.Errorf("what is to be compared with (tools/bench-peers makes it): %w", err)
	}
	all = peerSeries(of)
	err = pinned(func(*lab.Host) error {
		var chosen []match
		for _, m := range matches() {
			if o.Only == nil || o.Only.MatchString(m.name) {
				chosen = append(chosen, m)
			}
		}
		for _, m := range chosen {
			if err := o.match(ctx, m, all, log); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		return nil
	})
	return some(all...), err
}

// match compares all in one thing.
func (o PeerOptions) match(ctx context.Context, m match, all []Series, log *slog.Logger) (err error) {
	tables := usual
	if m.anew && !m.evict {
		tables = roomy
	}
	s, err := newStage(tables, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var peers []*loaded
	defer func() {
		for _, l := range peers {
			l.close()
		}
	}()
	for _, p := range []peer{katran(), xvs()} {
		l, err := p.load(o.Folder, m)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		peers = append(peers, l)
	}
	sizes := o.Flows
	if m.anew {
		sizes = []uint32{0}
	}
	for _, flows := range sizes {
		ours, theirs, err := o.turns(ctx, s, m, peers, flows)
		if err != nil {
			return err
		}
		o.note(m, peers, flows, ours, theirs, all)
	}
	return nil
}

// turns are the figures of weir and of each of the others.
func (o PeerOptions) turns(ctx context.Context, s *stage, m match, peers []*loaded, flows uint32) (ours []float64, theirs [][]float64, err error) {
	if err := s.serve(ctx, m.service); err != nil {
		return nil, nil, err
	}
	under, err := s.behind(true)
	if err != nil {
		return nil, nil, err
	}
	opener, err := s.behind(false)
	if err != nil {
		return nil, nil, err
	}
	if err := opener.open(m.row, flows); err != nil {
		return nil, nil, err
	}
	for _, l := range peers {
		if m.evict {
			flows = m.tables() + m.tables()/2
		}
		if err := l.open(m, flows); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	t := trial{m.row, true, under, nil}
	po := PacketOptions{Rounds: o.Rounds, Times: o.Times}
	theirs = make([][]float64, len(peers))
	next := uint32(0)
	if m.evict {
		next = evicted << 4
	}
	for range o.Rounds {
		r := run{frame: m.packet, flows: flows, random: !m.anew, first: next, times: o.Times}
		if m.anew {
			r.times = t.fitting(po)
		}
		ns, err := s.checked(ctx, t, r, flows)
		if err != nil {
			return nil, nil, fmt.Errorf("weir: %w", err)
		}
		ours = append(ours, ns)
		for i, l := range peers {
			if ns, err = l.run(m, r); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", l.name, err)
			}
			theirs[i] = append(theirs[i], ns)
		}
		next += r.times
	}
	return ours, theirs, nil
}

// note keeps the figures, weir's beside each of the others'.
func (o PeerOptions) note(m match, peers []*loaded, flows uint32, ours []float64, theirs [][]float64, all []Series) {
	column := grouped(int64(flows))
	if m.anew {
		column = "each new"
	}
	for i, l := range peers {
		base := figure(theirs[i])
		s := &all[i]
		s.Values = append(s.Values,
			Value{Row: m.name + ", weir", Column: column, Figure: figure(ours), Base: base},
			Value{Row: m.name + ", " + l.name, Column: column, Figure: base, Base: base})
		fmt.Fprintf(o.Out, "%-20s %9s flows  weir %5.0f  %s %5.0f  = %.2f\n", m.name, column, figure(ours).Median, l.name, base.Median, figure(ours).Median/base.Median)
	}
}

func peerSeries(of string) []Series {
	method := "The XDP programs of two other balancers beside weir's, behind one dispatcher, in turns, in one run: " + of + ". " +
		"Each is loaded as its project has it, and serves one address with three real servers; figures are gross, with what the dispatcher takes (the floor of the tables above). " +
		"Before a figure counts, one packet must have left as it should, and the program's own counters must say that it knew all flows. " +
		"Katran only wraps, so that weir's gate stands beside its ipip; its table of flows has room for 4,000,000. For new flows, all of which weir keeps, it is compiled without its limit of 125,000 in a second, beyond which it would forget them; " +
		"where the table is full, each new flow pushes out an old one: of all flows in Katran's, of half-open ones in weir's. "
	k := Series{Name: "katran", Title: "Beside Katran", Unit: "ns, gross", Base: "Katran", Axis: "flows", Method: method + "To repeat it: `tools/bench-peers KATRAN XVS`, with a checkout of each, then `make bench PARTS=peers`."}
	x := Series{Name: "xvs", Title: "Beside xvs", Unit: "ns, gross", Base: "xvs", Axis: "flows",
		Method: "As above, in the same turns. xvs keeps no flow that a SYN opens, and never finds those of UDP again: it stores each of their packets' anew."}
	return []Series{k, x}
}
