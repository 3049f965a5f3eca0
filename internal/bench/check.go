package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// worsens is how much more a packet may cost than before, in percent of its
// ratio to the floor. Two runs on one machine differ by a few.
const worsens = 15

// turns is how often a row may fail before it counts: a machine with other work
// is slow now and then, a slower program always.
const turns = 3

// Check measures packets again and compares them with earlier figures. Ratios
// of another processor say nothing here: there it compares what needs no clock.
func (s Suite) Check(ctx context.Context, docs string) error {
	was, err := ReadReport(docs)
	if err != nil {
		return err
	}
	if on, here := was.packetsOn(), NewReport("", false).Machine; on != here {
		fmt.Fprintf(s.Out, "the figures are of another machine (%s; this is %s): only what needs no clock is compared; `make bench PARTS=packet` writes figures of this one\n", on, here)
		return s.checkCounters(ctx, docs)
	}
	worse := make(map[string]string)
	for range turns {
		if len(worse) > 0 {
			fmt.Fprintln(s.Out, "once more, what seems worse:")
			s.Only = only(slices.Sorted(maps.Keys(worse)))
		}
		now, err := s.packets(ctx)
		if err != nil {
			return err
		}
		found, compared := worsened(now, was)
		if compared == 0 {
			return errors.New("nothing to compare: the earlier figures have none of these rows; run make bench")
		}
		if worse = found; len(worse) == 0 {
			fmt.Fprintf(s.Out, "no row is worse than on %s\n", was.Date)
			return nil
		}
	}
	return errors.New("packets cost more than on " + was.Date + ":\n" + strings.TrimSpace(strings.Join(slices.Sorted(maps.Values(worse)), "")))
}

// checkCounters compares calls and sizes.
func (s Suite) checkCounters(ctx context.Context, docs string) error {
	was, err := ReadCounters(docs)
	if err != nil {
		return err
	}
	now, err := Count(ctx, s.Log)
	if err != nil {
		return err
	}
	if worse := now.Against(was); len(worse) > 0 {
		return errors.New("more is done for a packet than was written down:\n" + strings.Join(worse, "\n"))
	}
	fmt.Fprintf(s.Out, "%d roads and %d programs are as they were written down\n", len(now.Paths), len(now.Programs))
	return nil
}

// packetsOn is the machine that the cost of packets was measured on.
func (r Report) packetsOn() string {
	for _, s := range r.Series {
		if s.ofRows() {
			return s.On
		}
	}
	return ""
}

// only matches these rows.
func only(rows []string) *regexp.Regexp {
	for i, r := range rows {
		rows[i] = regexp.QuoteMeta(r)
	}
	return regexp.MustCompile("^(" + strings.Join(rows, "|") + ")$")
}

// ofRows says whether a series has the cost of packets, by the names of rows.
func (s Series) ofRows() bool { return strings.HasPrefix(s.Name, "packet-") || s.Name == "new-flow" }

// worsened are the rows that cost more than they did, with what to say of them.
func worsened(now []Series, was Report) (worse map[string]string, compared int) {
	worse = make(map[string]string)
	for _, s := range now {
		i := slices.IndexFunc(was.Series, func(o Series) bool { return o.Name == s.Name })
		if i < 0 || !s.ofRows() {
			continue
		}
		for _, v := range s.Values {
			before, ok := was.Series[i].at(v.Row, v.Column)
			if !ok {
				continue
			}
			compared++
			if v.worse(before) {
				worse[v.Row] += fmt.Sprintf("%s, %s, %s: %.2f × the floor, was %.2f\n", s.Name, v.Row, v.Column, v.Ratio(), before.Ratio())
			}
		}
	}
	return worse, compared
}

// worse says whether the median costs more, and the fastest round, too: other
// work on the machine makes rounds slower, but hardly all of them.
func (v Value) worse(before Value) bool {
	const limit = (100 + worsens) / 100.0
	return v.Ratio() > limit*before.Ratio() && v.fastest() > limit*before.fastest()
}

func (v Value) fastest() float64 { return v.Low / max(v.Base.Low, 1e-9) }
