package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

// glance is how often a drain looks how far it has come.
const glance = time.Second

// A spot is a real server of a service, as it is typed.
type spot struct {
	service lvs.ServiceKey
	server  netip.AddrPort
}

// spotOf reads SERVICE and SERVER; a server without a port has the service's.
func spotOf(args []string) (s spot, err error) {
	if s.service, err = lvs.ParseServiceKey(args[0]); err != nil {
		return s, err
	}
	if s.server, err = netip.ParseAddrPort(args[1]); err == nil {
		return s, nil
	}
	a, err := netip.ParseAddr(args[1])
	if err != nil {
		return s, fmt.Errorf("%q is no address of a real server; write 10.0.0.1 or 10.0.0.1:80", args[1])
	}
	s.server = netip.AddrPortFrom(a, s.service.Addr.Port())
	return s, nil
}

func (s spot) change(kind lvs.ChangeKind, weight int) lvs.Change {
	return lvs.Change{Kind: kind, Service: lvs.Service{Key: s.service}, Destination: lvs.Destination{Addr: s.server, Weight: weight}}
}

// orders are the commands that give a real server a weight, or take that back.
func (c *command) orders() []*cobra.Command {
	return []*cobra.Command{
		c.ordering("quiesce", "Let a real server keep its connections and get no new ones", "", 2, func(cmd *cobra.Command, s spot, _ []string) error {
			return c.ordered(cmd.Context(), s.change(lvs.OrderWeight, 0), "quiesced")
		}),
		c.ordering("enable", "Take an order back: configuration and health decide again", "", 2, func(cmd *cobra.Command, s spot, _ []string) error {
			return c.ordered(cmd.Context(), s.change(lvs.RevokeOrder, 0), "enabled")
		}),
		c.ordering("weight", "Give a real server a weight that beats configuration and health", " WEIGHT", 3, func(cmd *cobra.Command, s spot, args []string) error {
			n, err := strconv.ParseUint(args[2], 10, 31)
			if err != nil {
				c.ran = false
				return fmt.Errorf("weight %q: want a number from 0 to 2147483647", args[2])
			}
			return c.ordered(cmd.Context(), s.change(lvs.OrderWeight, int(n)), "has weight "+args[2])
		}),
		c.drain(),
	}
}

func (c *command) ordering(name, short, more string, words int, do func(*cobra.Command, spot, []string) error) *cobra.Command {
	example := "  weir " + name + " tcp:192.0.2.1:80 10.0.0.1:8080"
	if more != "" {
		example += " 5"
	}
	return &cobra.Command{
		Use:     name + " SERVICE SERVER" + more,
		Short:   short,
		Example: example,
		Args:    cobra.ExactArgs(words),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := spotOf(args)
			if err != nil {
				c.ran = false // wrong usage
				return err
			}
			return do(cmd, s, args)
		},
	}
}

// ordered makes a change and says so.
func (c *command) ordered(ctx context.Context, change lvs.Change, said string) error {
	errs, err := c.weir().Change(ctx, []lvs.Change{change})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(client.ChangeOf(change))
	}
	_, err = fmt.Fprintf(c.Stdout, "%s of %s %s\n", change.Destination.Addr, change.Service.Key, said)
	return err
}

func (c *command) drain() *cobra.Command {
	var deadline time.Duration
	cmd := c.ordering("drain", "Quiesce a real server and wait until its connections have ended", "", 2,
		func(cmd *cobra.Command, s spot, _ []string) error { return c.drained(cmd.Context(), s, deadline) })
	cmd.Long = `Quiesce a real server and wait until it has no active connections any more,
telling how many there are whenever that changes. If some are left at the
deadline, or if the wait is interrupted, the server stays quiesced; enable
puts it back. Exit code 1 means that some are left.`
	cmd.Flags().DurationVar(&deadline, "deadline", 5*time.Minute, "how `long` to wait")
	return cmd
}

func (c *command) drained(ctx context.Context, s spot, deadline time.Duration) error {
	until := time.Now().Add(deadline)
	change := s.change(lvs.OrderWeight, 0)
	change.Until = until
	if err := c.ordered(ctx, change, "quiesced"); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	last := -1
	for {
		left, err := c.left(ctx, s)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && left != last && !c.json {
			fmt.Fprintf(c.Stderr, "%d active connections\n", left)
		}
		if err == nil {
			last = left
		}
		if last == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d active connections are left; the server stays quiesced until: weir enable", last)
		case <-time.After(glance):
		}
	}
}

// left is how many active connections a real server has.
func (c *command) left(ctx context.Context, s spot) (int, error) {
	for x, err := range c.weir().Matching(ctx, s.service) {
		if err != nil {
			return 0, err
		}
		for _, d := range x.Destinations {
			if d.Destination == s.server.String() {
				return int(d.Active), nil
			}
		}
	}
	return 0, fmt.Errorf("%v of %v: %w", s.server, s.service, lvs.ErrNoDestination)
}
