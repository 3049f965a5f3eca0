package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

// steps are those of the short road, each with the program of anatomy.bpf.c
// that goes no further.
var steps = []struct{ name, program string }{
	{"headers, read and checked", "upto_headers"},
	{"the filter, for both addresses", "upto_filter"},
	{"whole, for this host, no martian", "upto_ours"},
	{"the header's checksum", "upto_sum"},
	{"the time", "upto_clock"},
	{"its connection: hash and bucket", "upto_connection"},
	{"the destination, and whether it agrees", "upto_destination"},
	{"TCP state", "upto_state"},
	{"next hop and its MTU", "upto_way"},
	{"the connection's timer", "upto_timer"},
	{"statistics of the destination", "upto_statistics"},
	{"statistics of verdicts", "upto_verdict"},
	{"hop count, its checksum, MACs, sending", "upto_all"},
}

const anatomyMethod = "What each step of a gate packet of a known flow takes, IPv4 through XDP: the short road, made of the engine's own functions over the maps of a loaded engine, is cut off after each of its steps. " +
	"All these programs are measured in turns behind the dispatcher, and a step is the median of the differences between two of them that followed each other. The first is beyond the floor. The processor does several steps at once: some seem to cost nothing, and what one begins another waits for, above all among a million flows, where a few ns more or less say nothing. " +
	"Of what a balancer without IPVS's bookkeeping leaves out, a packet of an established connection pays for TCP's state (a comparison), the timer (written once in 16.8 ms) and both kinds of statistics. Counts of active connections change only where one opens, is established or ends, by an atomic addition each. “All” is the last program with the dispatcher; the engine's own takes longer by the calls of a function for each family."

// AnatomyOptions say how thorough it is.
type AnatomyOptions struct {
	Flows  []uint32
	Rounds int
	Times  uint32 // packets in a round
}

// Anatomy measures a packet's road step by step.
func Anatomy(ctx context.Context, o AnatomyOptions, log *slog.Logger) (s Series, err error) {
	s = Series{Name: "anatomy", Title: "What the steps of a packet take", Unit: "ns", Method: anatomyMethod}
	err = pinned(func(*lab.Host) error {
		st, err := newStage(usual, log)
		if err != nil {
			return err
		}
		values, err := st.anatomy(ctx, o)
		s.Values = values
		if closed := st.close(); err == nil {
			err = closed
		}
		return err
	})
	return s, err
}

func gateRow() row { return established("gate", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false)) }

func (s *stage) anatomy(ctx context.Context, o AnatomyOptions) (all []Value, err error) {
	r := gateRow()
	subjects, done, err := s.sections()
	if err != nil {
		return nil, err
	}
	defer done()
	opener, err := s.behind(false)
	if err != nil {
		return nil, err
	}
	for _, flows := range o.Flows {
		if err := s.serve(ctx, r.service); err != nil {
			return nil, err
		}
		if err := opener.open(r, flows); err != nil {
			return nil, err
		}
		times := make([][]float64, len(subjects))
		for range o.Rounds {
			for i, p := range subjects {
				ns, err := p.through(run{frame: r.packet, flows: flows, random: true, times: o.Times})
				if err != nil {
					return nil, err
				}
				times[i] = append(times[i], ns)
			}
		}
		all = append(all, stairs(times, grouped(int64(flows))+" flows")...)
	}
	return all, nil
}

// stairs are the steps' figures in one column. times are those of the floor and
// of the road up to each step, round by round.
func stairs(times [][]float64, column string) (all []Value) {
	for i, step := range steps {
		more := make([]float64, len(times[i]))
		for round := range more {
			more[round] = times[i+1][round] - times[i][round]
		}
		m := math.Round(10*figure(more).Median) / 10
		all = append(all, Value{Row: step.name, Column: column, Figure: Figure{m, m, m}})
	}
	return append(all, Value{Row: "the floor", Column: column, Figure: figure(times[0])},
		Value{Row: "all", Column: column, Figure: figure(times[len(steps)])})
}

// sections are the floor and the roads that end after each step.
func (s *stage) sections() (all []*subject, done func(), err error) {
	names := make([]string, 0, len(steps))
	for _, step := range steps {
		names = append(names, step.program)
	}
	cut, release, err := s.plane.Transplant(loadAnatomy, names)
	if err != nil {
		return nil, nil, err
	}
	done = func() {
		for _, p := range all {
			p.close()
		}
		release()
	}
	base, err := floor(true, false)
	if err != nil {
		done()
		return nil, nil, err
	}
	all = append(all, base)
	for _, name := range names {
		p, err := splice(true, cut[name])
		if err != nil {
			done()
			return nil, nil, err
		}
		all = append(all, p)
	}
	return all, done, nil
}

// through is a run whose last packet must have come through to the cut.
func (s *subject) through(r run) (float64, error) {
	ns, action, err := s.timed(r)
	if err == nil && action != xdpTX {
		err = fmt.Errorf("%w: action %d", errOtherRoad, action)
	}
	return ns, err
}
