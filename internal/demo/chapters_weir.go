package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
)

// talkers are the services that connections stay open to while weir dies and
// comes back.
var talkers = []service{masq4, masq6, gate4, gate6}

// A conversation is a connection that is kept, and whom it is with.
type conversation struct {
	*talk
	with string
}

// converse opens a connection to each of the talkers.
func (s *stage) converse(ctx context.Context) error {
	for _, v := range talkers {
		t, err := s.talk(ctx, v)
		if err != nil {
			return err
		}
		with, err := t.ask(false)
		s.talks = append(s.talks, &conversation{t, with})
		if err != nil {
			return err
		}
	}
	return nil
}

// goOn asks on every open connection and counts those that still answer, from
// the same server.
func (s *stage) goOn() (n int, err error) {
	for _, c := range s.talks {
		from, e := c.ask(false)
		if e == nil && from != c.with {
			e = fmt.Errorf("%s has become %s", c.with, from)
		}
		if e == nil {
			n++
		}
		err = errors.Join(err, e)
	}
	return n, err
}

func (s *stage) hangUp() {
	for _, c := range s.talks {
		c.Close()
	}
	s.talks = nil
	if s.load0 != nil {
		s.load0.stop()
		s.load0 = nil
	}
}

// seeTalks notes what became of the open connections.
func (s *stage) seeTalks(g *sight) {
	n, err := s.goOn()
	g.number("open_connections", float64(n))
	g.see(err == nil && n == len(talkers), "%d of %d open connections go on", n, len(talkers))
	if err != nil {
		g.see(false, "%v", err)
	}
}

// weirKilled kills weir under load. The load and the open connections go on
// into the next chapter, which is why they outlive the context of this one.
func weirKilled(ctx context.Context, s *stage, g *sight) error {
	lasting := context.WithoutCancel(ctx)
	if err := s.converse(lasting); err != nil {
		return err
	}
	s.load0 = s.load(lasting, workers, masq4, masq6, gate4, gate6, udpMasq4, udpGate6)
	nap(ctx, 500*time.Millisecond)
	killed := time.Now()
	s.weir.kill()
	s.progress.note("weir is killed")
	nap(ctx, 2*time.Second)
	_, err := s.ask.Status(ctx)
	g.see(errors.Is(err, client.ErrNotRunning), "no weir for %.1f s", time.Since(killed).Seconds())
	g.noFailures(s.load0.sofar().since(killed))
	s.seeTalks(g)
	return nil
}

// weirReturns starts the next weir, which takes over what it finds.
func weirReturns(ctx context.Context, s *stage, g *sight) error {
	defer s.hangUp()
	if s.load0 == nil {
		return errors.New("there is no load, since the chapter before broke off")
	}
	s.progress.live(s.load0.String)
	began := time.Now()
	if err := s.startWeir(ctx); err != nil {
		return err
	}
	if err := s.allUp(ctx); err != nil {
		return err
	}
	s.progress.note("the next weir runs after %.2f s", time.Since(began).Seconds())
	nap(ctx, 1500*time.Millisecond) // each check has asked once more
	g.noFailures(s.load0.stop().since(began))
	st, err := s.ask.Status(ctx)
	if err != nil {
		return err
	}
	g.see(st.TableSince.Before(began), "the table of %s", st.TableSince.Local().Format(time.TimeOnly))
	changed, err := s.count(ctx, time.Time{}, func(e event) bool { return e.Kind == "configuration" && !e.changedNothing() })
	if err != nil {
		return err
	}
	g.see(changed == 0, "%d changes to it", changed)
	s.seeTalks(g)
	return s.seeListed(ctx, g)
}

// seeListed wants every open connection in weir's own list, with the server
// that answers on it.
func (s *stage) seeListed(ctx context.Context, g *sight) error {
	listed := 0
	for _, c := range s.talks {
		cs, err := s.ask.Connections(ctx, client.ConnectionQuery{Client: c.client(), Service: c.v.virtual().String(),
			State: "ESTABLISHED", Limit: 1000})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(cs.Connections, func(x client.Connection) bool {
			return x.Client == c.LocalAddr().String() && x.Destination == c.v.destination(c.with)
		}) {
			listed++
		}
	}
	g.number("listed_connections", float64(listed))
	g.see(listed == len(talkers), "%d listed", listed)
	return nil
}

// down says weir down, as a person would, and asks the service once more.
func down(ctx context.Context, s *stage, g *sight) error {
	out, err := s.cluster.Director.Command(ctx, s.exe, "down").CombinedOutput()
	if err != nil {
		return fmt.Errorf("weir down: %w: %s", err, out)
	}
	select {
	case <-s.weir.done:
		g.see(s.weir.err == nil, "%v", s.weir.cmd.ProcessState)
	case <-time.After(time.Second):
		g.see(false, "weir still runs")
	}
	silent := 0
	for _, v := range talkers {
		if s.once(ctx, v).err != nil {
			silent++
		}
	}
	g.see(silent == len(talkers), "%d of %d services answer no more", silent, len(talkers))
	return nil
}
