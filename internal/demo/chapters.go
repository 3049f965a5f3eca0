package demo

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A chapter promises something and looks whether it is so.
type chapter struct {
	name    string
	promise string
	run     func(context.Context, *stage, *sight) error
}

// chapterTime bounds a chapter: one that hangs is a promise not kept.
const chapterTime = 30 * time.Second

// chapters are all of them in order. What takes weir down is left out if it
// is to stay.
func chapters(keep bool) []chapter {
	const third = "each real server answers 20 of 60"
	all := []chapter{
		{"masq IPv4", third, spreads(60, masq4, 20, 20, 20)},
		{"masq IPv6", third, spreads(60, masq6, 20, 20, 20)},
		{"gate IPv4", third, spreads(60, gate4, 20, 20, 20)},
		{"gate IPv6", third, spreads(60, gate6, 20, 20, 20)},
		{"UDP masq IPv4", third, spreads(60, udpMasq4, 20, 20, 20)},
		{"UDP masq IPv6", third, spreads(60, udpMasq6, 20, 20, 20)},
		{"UDP gate IPv4", third, spreads(60, udpGate4, 20, 20, 20)},
		{"UDP gate IPv6", third, spreads(60, udpGate6, 20, 20, 20)},
		{"wrr", "weights 3 2 1 answer 30, 20, 10 of 60", spreads(60, weighted, 30, 20, 10)},
		{"wlc under load", fmt.Sprintf("real3, %v slower, gets less than half of each other's share", slowness), leastConnections},
		{"server killed under load", fmt.Sprintf("out within %v, then no request fails", outWithin), serverKilled},
		{"all servers dead", fmt.Sprintf("fallback within %v, then it answers every request", outWithin), allDead},
		{"servers return", fmt.Sprintf("back within %v, whoever asks then gets an answer, equal shares", outWithin), serversReturn},
		{"20 reloads under load", "no request fails, nothing in the table changes", reloads},
		{"weir killed (-9) under load", "no request fails while no weir runs", weirKilled},
		{"the next weir adopts", "no request fails, same table, open connections go on", weirReturns},
	}
	if !keep {
		all = append(all, chapter{"weir down", "weir ends, its services answer no more", down})
	}
	return all
}

// play runs the chapters until ctx ends.
func (s *stage) play(ctx context.Context, cs []chapter) (rows []Row) {
	for _, c := range cs {
		s.progress.begin(c.name)
		var g sight
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, chapterTime)
		err := c.run(limited, s, &g)
		cancel()
		if ctx.Err() != nil {
			break
		}
		row := g.row(c, err, time.Since(began))
		s.progress.row(row)
		rows = append(rows, row)
	}
	return rows
}

// spreads makes n requests and wants the real servers to answer so many each.
func spreads(n int, v service, shares ...int) func(context.Context, *stage, *sight) error {
	return func(ctx context.Context, s *stage, g *sight) error {
		all, err := s.some(ctx, n, v)
		if err != nil {
			return err
		}
		g.shares(all, shares...)
		if all.failed() > 0 {
			g.noFailures(all)
		}
		return nil
	}
}

// shares notes who answered how many, and wants exactly these numbers.
func (g *sight) shares(all tally, shares ...int) {
	for name, n := range all.by() {
		g.number(name, float64(n))
	}
	g.number("requests", float64(len(all)))
	g.number("failed", float64(all.failed()))
	g.see(all.as(shares...), "%s", all.spread())
}

// leastConnections has a slow server among fast ones: its connections are open for longer, so
// that it gets fewer.
func leastConnections(ctx context.Context, s *stage, g *sight) error {
	l := s.load(ctx, workers+4, busy)
	nap(ctx, 2*time.Second)
	all := l.stop()
	g.noFailures(all)
	by := all.by()
	for name, n := range by {
		g.number(name, float64(n))
	}
	slow := by[realName(reals-1)]
	fast := min(by[realName(0)], by[realName(1)])
	g.see(slow > 0 && 2*slow < fast, "%s", all.spread())
	return nil
}

// reloads has weir read the same file again and again. The events tell how
// many steps each took.
func reloads(ctx context.Context, s *stage, g *sight) error {
	const times = 20
	before, err := s.table(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	l := s.load(ctx, workers, masq4, masq6, gate4, gate6, udpMasq4, udpGate6)
	defer l.stop()
	nap(ctx, 200*time.Millisecond)
	for range times {
		if _, err := s.ask.Reload(ctx); err != nil {
			return err
		}
		nap(ctx, 50*time.Millisecond)
	}
	g.noFailures(l.stop())
	after, err := s.table(ctx)
	if err != nil {
		return err
	}
	quiet, err := s.count(ctx, began, func(e event) bool { return e.changedNothing() })
	if err != nil {
		return err
	}
	g.number("reloads", times)
	g.number("reloads_without_change", float64(quiet))
	g.see(quiet == times, "%d of %d changed nothing", quiet, times)
	g.see(slices.Equal(before, after), "%d entries as before", len(before))
	return nil
}

// nap waits, unless ctx ends.
func nap(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
