package demo

import (
	"context"
	"time"
)

// serverKilled kills a real server while clients are busy. What fails before
// weir has noticed is counted; nothing may fail after.
func serverKilled(ctx context.Context, s *stage, g *sight) error {
	l := s.load(ctx, workers, guarded)
	defer l.stop()
	nap(ctx, time.Second)
	killed := time.Now()
	s.servers[1].kill()
	s.progress.note("real2 is killed")
	out, err := s.happened(ctx, killed, "destination-down", guarded, 1)
	if err != nil {
		return err
	}
	s.progress.note("weir takes it out %.2f s later", out.Sub(killed).Seconds())
	nap(ctx, time.Second)
	all := l.stop()

	took := out.Sub(killed)
	g.number("out_seconds", seconds(took))
	g.number("failed_before", float64(all.failed()))
	g.see(took <= outWithin, "out after %.2f s", took.Seconds())
	g.see(true, "%d of %d failed meanwhile", all.failed(), len(all))
	after := all.since(out)
	g.see(len(after) > 0 && after.failed() == 0, "%d of %d after", after.failed(), len(after))
	g.number("requests_after", float64(len(after)))
	g.number("failed_after", float64(after.failed()))
	g.see(after.by()[realName(1)] == 0, "real2 gets none")
	return nil
}

// allDead kills the others too; the sorry server stands in.
func allDead(ctx context.Context, s *stage, g *sight) error {
	l := s.load(ctx, workers, guarded)
	defer l.stop()
	nap(ctx, 200*time.Millisecond)
	killed := time.Now()
	s.servers[0].kill()
	s.servers[2].kill()
	s.progress.note("real1 and real3 are killed too")
	on, err := s.happened(ctx, killed, "fallback-on", guarded, -1)
	if err != nil {
		return err
	}
	nap(ctx, time.Second)
	after := l.stop().since(on)

	took := on.Sub(killed)
	g.number("fallback_seconds", seconds(took))
	g.see(took <= outWithin, "fallback after %.2f s", took.Seconds())
	g.noFailures(after)
	g.see(after.by()[sorry] == len(after), "%s", after.spread())
	return nil
}

// serversReturn starts all servers again and wants each to get its share. The
// sorry server leaves the table then, and as with IPVS the packets of whoever
// is just talking to a server that has left are dropped: that can be one
// request for each client, and none that begins later.
func serversReturn(ctx context.Context, s *stage, g *sight) error {
	l := s.load(ctx, workers, guarded)
	defer l.stop()
	started := time.Now()
	for i := range reals {
		if err := s.startServer(i); err != nil {
			return err
		}
	}
	s.progress.note("all real servers are started again")
	off, err := s.happened(ctx, started, "fallback-off", guarded, -1)
	if err != nil {
		return err
	}
	if err := s.allUp(ctx); err != nil {
		return err
	}
	took := time.Since(started)
	nap(ctx, 500*time.Millisecond)
	all := l.stop()
	g.number("back_seconds", seconds(took))
	g.see(took <= outWithin, "all back after %.2f s", took.Seconds())
	g.noFailures(all.since(off))
	cut := all.failed() - all.since(off).failed()
	g.number("cut", float64(cut))
	g.see(cut <= workers, "%d cut off", cut)
	calm, err := s.some(ctx, 30, guarded)
	if err != nil {
		return err
	}
	g.see(calm.as(10, 10, 10), "then %s", calm.spread())
	return nil
}
