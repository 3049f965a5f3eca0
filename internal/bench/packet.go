package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
)

// PacketOptions choose among the rows of the cost of a packet.
type PacketOptions struct {
	Only   *regexp.Regexp // of rows by name; nil: all
	Doors  []bool         // XDP or not
	Flows  []uint32
	Rounds int
	Times  uint32 // packets in a round
	Out    io.Writer
}

// A Packet is what a packet costs on one road, in nanoseconds. Flows is 0
// where every packet is of a new one.
type Packet struct {
	Row   string
	Door  string
	Flows uint32
	Gross Figure
	Floor Figure
	Apart bool // measured packet by packet
}

// Net is what the program under test costs beyond the floor.
func (p Packet) Net() float64 { return p.Gross.Median - p.Floor.Median }

// Ratio is the whole cost against the floor's.
func (p Packet) Ratio() float64 { return p.Gross.Median / p.Floor.Median }

// Sizes of the tables: one for known flows, one with room for all new ones.
var (
	usual = dataplane.Options{Connections: 1_000_000, HalfOpen: 65_536, Wide: 2_400_000, Services: 16, Destinations: 4096}
	roomy = dataplane.Options{Connections: 8_000_000, HalfOpen: 8_000_000, Wide: 4_000_000, Services: 16, Destinations: 4096}
)

// Packets measures what a packet costs, and tells each figure as it has it.
func Packets(ctx context.Context, o PacketOptions, log *slog.Logger) (all []Packet, err error) {
	err = pinned(func(*lab.Host) error {
		for _, part := range []struct {
			tables dataplane.Options
			rows   []row
		}{{usual, append(known(), flood())}, {roomy, fresh()}} {
			rows := o.chosen(part.rows)
			if len(rows) == 0 {
				continue
			}
			s, err := newStage(part.tables, log)
			if err != nil {
				return err
			}
			some, err := s.packets(ctx, rows, o)
			all = append(all, some...)
			if closed := s.close(); err == nil {
				err = closed
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

func (o PacketOptions) chosen(rows []row) (some []row) {
	for _, r := range rows {
		if o.Only == nil || o.Only.MatchString(r.name) {
			some = append(some, r)
		}
	}
	return some
}

func (s *stage) packets(ctx context.Context, rows []row, o PacketOptions) (all []Packet, err error) {
	floors := make(map[[2]bool]*subject)
	defer func() {
		for _, f := range floors {
			f.close()
		}
	}()
	for _, r := range rows {
		for _, xdp := range o.Doors {
			base := floors[[2]bool{xdp, r.head}]
			if base == nil {
				if base, err = floor(xdp, r.head); err != nil {
					return all, err
				}
				floors[[2]bool{xdp, r.head}] = base
			}
			under, err := s.behind(xdp)
			if err != nil {
				return all, err
			}
			some, err := s.row(ctx, trial{r, xdp, under, base}, o)
			all = append(all, some...)
			if err != nil {
				return all, fmt.Errorf("%s, %s: %w", r.name, doorNames[xdp], err)
			}
		}
	}
	return all, nil
}

// A trial is one row through one door, beside its floor.
type trial struct {
	row
	xdp         bool
	under, base *subject
}

func (s *stage) row(ctx context.Context, t trial, o PacketOptions) (all []Packet, err error) {
	sizes := o.Flows
	if t.anew {
		sizes = []uint32{0}
	}
	for _, flows := range sizes {
		if err := s.serve(ctx, t.service); err != nil {
			return all, err
		}
		p := Packet{Row: t.name, Door: doorNames[t.xdp], Flows: flows, Apart: t.head && !t.xdp}
		if p.Gross, p.Floor, err = s.sides(ctx, t, flows, o); err != nil {
			return all, err
		}
		all = append(all, p)
		fmt.Fprintf(o.Out, "%-42s %-4s %8d flows  %6.0f ns − %3.0f = %6.0f  ± %2.0f %%  %5.2f × floor\n",
			p.Row, p.Door, p.Flows, p.Gross.Median, p.Floor.Median, p.Net(), 100*p.Gross.Spread(), p.Ratio())
	}
	return all, nil
}

// sides measures a program and its floor in turns.
func (s *stage) sides(ctx context.Context, t trial, flows uint32, o PacketOptions) (gross, base Figure, err error) {
	// Through tc: around each XDP run the kernel waits for all its readers.
	opener, err := s.behind(false)
	if err != nil {
		return gross, base, err
	}
	if err := opener.open(t.row, flows); err != nil {
		return gross, base, err
	}
	var above, below []float64
	next := uint32(0)
	for range o.Rounds {
		r := run{frame: t.packet, reply: t.reply, flows: flows, random: !t.anew, first: next, times: o.Times}
		if t.anew {
			r.times = t.fitting(o)
		}
		ns, err := s.checked(ctx, t, r, flows)
		if err != nil {
			return gross, base, err
		}
		above = append(above, ns)
		next += r.times
		if ns, err = t.once(t.base, r); err != nil {
			return gross, base, err
		}
		below = append(below, ns)
	}
	return figure(above), figure(below), nil
}

// fitting is how many new flows a round may open: an eighth of the table in all
// rounds, because half-open flows push each other out of a bucket long before
// their table is full, and fewer where each takes long.
func (t trial) fitting(o PacketOptions) uint32 {
	room := roomy.Connections
	if t.service.Persistence.Timeout > 0 {
		room = roomy.Wide
	}
	n := min(o.Times, uint32(room/8/o.Rounds))
	if len(t.service.Destinations) > 50 {
		n /= 8
	}
	return n
}

// once lets a program have a run's packets. An sk_buff that was wrapped cannot
// be wrapped again, so each such packet is a run of its own.
func (t trial) once(p *subject, r run) (float64, error) {
	if t.head && !t.xdp && r.times > 1 {
		r.times = fewer(r.times)
		return p.apart(r)
	}
	return p.one(r)
}

// fewer packets are enough where each is a run.
func fewer(times uint32) uint32 { return max(times/100, 1000) }

// checked is a run in which every packet must have taken its road.
func (s *stage) checked(ctx context.Context, t trial, r run, flows uint32) (float64, error) {
	was, err := s.counts(ctx)
	if err != nil {
		return 0, err
	}
	ns, err := t.once(t.under, r)
	if err != nil {
		return 0, err
	}
	now, err := s.counts(ctx)
	if err != nil {
		return 0, err
	}
	packets := uint64(r.times)
	if t.head && !t.xdp && r.times > 1 {
		packets = uint64(fewer(r.times))
	}
	switch {
	case t.evict:
		return ns, now.since(was, t.verdict, packets)
	case t.anew:
		flows = r.first + r.times
	}
	if t.verdict == "not-ours" && t.xdp {
		t.verdict, packets = "", 0 // what XDP passes is counted by tc
	}
	if err := now.since(was, t.verdict, packets); err != nil {
		return 0, err
	}
	return ns, now.holds(t.row, uint64(flows))
}

// PacketSeries are a run's figures: of known flows by their number, of new ones.
func PacketSeries(all []Packet) []Series {
	const method = "The kernel's test-run facility runs the program of one door again and again, pinned to one CPU, behind a dispatcher " +
		"that writes an untouched packet of one of many flows each time (at random; new flows one after the other). The floor is the same dispatcher in front of a program that reads the headers and " +
		"returns, for tunnels one that also makes room for a header. Before a figure counts, the engine's own counters must say " +
		"that every packet took the road of its row, and that as many flows are known as there should be. Frames have 80 bytes. " +
		"Tunnels through tc are run packet by packet, where the clock weighs more. What grows with the flows is what the processor's caches do not hold: a known flow is looked at in one or two of their lines, however many there are."
	known := func(door string) Series {
		return Series{Name: "packet-" + door, Title: "A packet of a known flow, " + door, Method: method, Unit: "ns", Base: "the floor", Net: true, Axis: "flows"}
	}
	xdp, tc := known("xdp"), known("tc")
	tc.Method = "As above, through tc."
	fresh := Series{Name: "new-flow", Title: "A packet that opens a flow", Method: "As above; every packet is the first of its flow, and the table has room for all of them, but where a flood fills it.",
		Unit: "ns", Base: "the floor", Net: true}
	crowd := Series{Name: "destinations", Title: "A packet that opens a flow, by the number of destinations", Unit: "ns", Base: "the floor", Net: true, Axis: "destinations",
		Method: "The same figures: what a scheduler takes that looks at live counts. wlc looks at every destination of up to 64; of more it looks through 32 and compares the best of each 32 others, so that the cost grows by a thirty-second part of what looking at all would take. rr and the hashing ones do not grow."}
	for _, p := range all {
		v := Value{Row: p.Row, Column: grouped(int64(p.Flows)), Size: float64(p.Flows), Figure: p.Gross, Base: p.Floor}
		switch {
		case p.Flows == 0:
			v.Column = p.Door
			fresh.Values = append(fresh.Values, v)
			if n := destinationsOf(p.Row); n > 0 {
				v.Row, v.Column, v.Size = "wlc, "+p.Door, grouped(int64(n)), float64(n)
				crowd.Values = append(crowd.Values, v)
			}
		case p.Door == doorNames[true]:
			xdp.Values = append(xdp.Values, v)
		default:
			tc.Values = append(tc.Values, v)
		}
	}
	return some(xdp, tc, fresh, crowd)
}

// destinationsOf is how many there are in a row of new flows by wlc.
func destinationsOf(row string) (n int) {
	_, _ = fmt.Sscanf(row, "new flow, wlc, %d destinations", &n) // other rows have none
	return n
}

// some are the series that have figures.
func some(all ...Series) (kept []Series) {
	for _, s := range all {
		if len(s.Values) > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}
