package cli

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
	"github.com/weir-lb/weir/internal/lvs"
)

func (s *speaker) list(ctx context.Context, c ipvsadm.Command) int {
	switch {
	case c.Verb == ipvsadm.Save:
		entries, err := entriesOf(s.weir.Table(ctx))
		if err != nil {
			return s.outcome(c, err)
		}
		return s.print(ipvsadm.Saved(entries, c.Show.Numeric, s.names), nil)
	case c.Show.Connections:
		return s.listConnections(ctx, c)
	case c.Show.Timeouts:
		t, err := s.weir.Timeouts(ctx)
		if err != nil {
			return s.outcome(c, err)
		}
		return s.print(ipvsadm.TimeoutLine(t), nil)
	case c.Show.Daemons:
		all, err := s.weir.SyncDaemons(ctx)
		if err != nil {
			return s.outcome(c, err)
		}
		return s.print(ipvsadm.DaemonLines(all), nil)
	case c.Named:
		return s.listService(ctx, c)
	}
	entries, err := entriesOf(s.weir.EachService(ctx))
	if err != nil {
		return s.outcome(c, err)
	}
	return s.print(ipvsadm.Banner()+ipvsadm.Table(entries, c.Show, s.names), nil)
}

func (s *speaker) listService(ctx context.Context, c ipvsadm.Command) int {
	entries, err := entriesOf(s.weir.Matching(ctx, c.Service.Key))
	if err == nil && len(entries) == 0 {
		err = lvs.ErrNoService
	}
	if err != nil {
		return s.outcome(c, err)
	}
	return s.print(ipvsadm.Table(entries, c.Show, s.names), nil)
}

func entriesOf(all iter.Seq2[*client.Service, error]) (out []ipvsadm.Entry, err error) {
	for s, err := range all {
		if err != nil {
			return nil, err
		}
		e, err := entryOf(s)
		if err != nil {
			return nil, fmt.Errorf("read the answer of weir: %w; is it of another version?", err)
		}
		out = append(out, e)
	}
	return out, nil
}

func entryOf(s *client.Service) (e ipvsadm.Entry, err error) {
	if e.Service, err = s.Noun(); err != nil {
		return e, err
	}
	e.Counters = lvs.ServiceCounters{Counters: s.Counters, Rates: s.Rates, Destinations: make([]lvs.DestinationCount, 0, len(e.Service.Destinations))}
	for _, d := range s.Destinations {
		if !d.Installed {
			continue
		}
		at := e.Service.Destinations[len(e.Counters.Destinations)].Addr // they are in the same order
		e.Counters.Destinations = append(e.Counters.Destinations, lvs.DestinationCount{Addr: at,
			DestinationCounters: lvs.DestinationCounters{Counters: d.Counters, Rates: d.Rates,
				Active: d.Active, Inactive: d.Inactive, Templates: d.Templates}})
	}
	return e, nil
}

func (s *speaker) listConnections(ctx context.Context, c ipvsadm.Command) int {
	title := ipvsadm.ConnectionTitle(c.Show) // printed once there is an answer
	err := everyConnection(ctx, s.weir, func(page []client.Connection) error {
		var b strings.Builder
		b.WriteString(title)
		title = ""
		for _, x := range page {
			n, err := connectionOf(x)
			if err != nil {
				return err
			}
			b.WriteString(n.Line(c.Show, s.names))
		}
		_, err := io.WriteString(s.Stdout, b.String())
		return err
	})
	return s.outcome(c, err)
}

// everyConnection shows all connections, one page after the other. There is
// at least one page.
func everyConnection(ctx context.Context, weir *client.Client, show func([]client.Connection) error) error {
	q := client.ConnectionQuery{Limit: client.MaxLimit}
	for {
		page, err := weir.Connections(ctx, q)
		if err != nil {
			return err
		}
		if err := show(page.Connections); err != nil || !page.More {
			return err
		}
		q.Cursor = page.Next
	}
}

func connectionOf(x client.Connection) (ipvsadm.Connection, error) {
	out := ipvsadm.Connection{State: x.State, Expires: time.Duration(x.Expires) * time.Second}
	if p, err := lvs.ParseProtocol(x.Protocol); err == nil {
		out.Protocol = p
	}
	for _, e := range []struct {
		to   *netip.AddrPort
		text string
	}{{&out.Client, x.Client}, {&out.Virtual, x.Virtual}, {&out.Destination, x.Destination}} {
		at, err := netip.ParseAddrPort(e.text)
		if err != nil {
			return out, fmt.Errorf("read the answer of weir: %w; is it of another version?", err)
		}
		*e.to = at
	}
	return out, nil
}
