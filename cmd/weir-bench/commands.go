package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/bench"
)

// version is set by the Makefile.
var version = "development"

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "weir-bench", Short: "Measure weir on this machine", Version: version,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(run(), check(), counters(), duel())
	for _, p := range bench.Parts() {
		root.AddCommand(part(p))
	}
	return root
}

// chosen holds the flags of all measurements.
type chosen struct {
	suite      bench.Suite
	only, door string
	flows      []uint
}

func (c *chosen) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&c.suite.Short, "short", false, "measure less, in less time")
	f.StringVar(&c.only, "only", "", "only what matches this expression")
	f.StringVar(&c.door, "door", "", "packets through xdp or tc; empty: both")
	f.UintSliceVar(&c.flows, "flows", nil, "packets with so many known flows")
	f.StringSliceVar(&c.suite.Guest, "guest-args", nil, "more words for the comparison in the guest")
	f.StringVar(&c.suite.Peers, "peers", ".cache/peers", "the folder with other balancers' programs")
	f.StringVar(&c.suite.Weir, "weir", "./weir", "the weir to measure where it runs as a program")
}

func (c *chosen) complete() (s bench.Suite, err error) {
	s = c.suite
	s.Out, s.Log = os.Stdout, slog.New(slog.DiscardHandler)
	if s.Only, err = regexp.Compile(c.only); err != nil {
		return s, err
	}
	switch c.door {
	case "xdp", "tc":
		s.Doors = []bool{c.door == "xdp"}
	case "":
	default:
		return s, fmt.Errorf("no door %q; it is xdp or tc", c.door)
	}
	for _, n := range c.flows {
		s.Flows = append(s.Flows, uint32(n))
	}
	return s, nil
}

func part(name string) *cobra.Command {
	var c chosen
	cmd := &cobra.Command{
		Use: name, Short: "Measure " + name + " and print it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.complete()
			if err != nil {
				return err
			}
			s.Parts = []string{name}
			_, err = s.Run(cmd.Context())
			return err
		},
	}
	c.flags(cmd)
	return cmd
}

func run() *cobra.Command {
	var c chosen
	var docs string
	cmd := &cobra.Command{
		Use: "run [PART]...", Short: "Measure all, print it, and write it as a page", ValidArgs: bench.Parts(),
		Args: cobra.OnlyValidArgs,
		Long: "Measure " + strings.Join(bench.Parts(), ", ") + ", or some of these; print tables; write benchmarks.md, plots and figures.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := c.complete()
			if err != nil {
				return err
			}
			s.Parts = slices.Clone(args)
			r := bench.NewReport(version, s.Short)
			r.Series, err = s.Run(cmd.Context())
			if docs == "" || len(r.Series) == 0 || cmd.Context().Err() != nil {
				return err
			}
			return errors.Join(err, r.Write(docs))
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&docs, "write", "", "the folder to write benchmarks.md into; empty: only print")
	return cmd
}
