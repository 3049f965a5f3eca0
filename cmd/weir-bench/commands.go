package main

import (
	"log/slog"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/bench"
)

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "weir-bench", Short: "Measure weir on this machine",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(packet())
	return root
}

func packet() *cobra.Command {
	var only, door string
	var flows []uint
	o := bench.PacketOptions{Out: os.Stdout}
	c := &cobra.Command{
		Use: "packet", Short: "Nanoseconds for each packet, by the kernel's test-run facility", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Only, err = regexp.Compile(only); err != nil {
				return err
			}
			o.Doors = doors(door)
			for _, n := range flows {
				o.Flows = append(o.Flows, uint32(n))
			}
			_, err = bench.Packets(cmd.Context(), o, slog.New(slog.DiscardHandler))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&only, "only", "", "rows whose names match this expression")
	f.StringVar(&door, "door", "", "xdp or tc; empty: both")
	f.UintSliceVar(&flows, "flows", []uint{1, 1_000, 100_000, 1_000_000}, "how many flows are known")
	f.IntVar(&o.Rounds, "rounds", 5, "measurements, of which the median is told")
	f.Uint32Var(&o.Times, "times", 1_000_000, "packets in a measurement")
	return c
}

func doors(name string) []bool {
	switch name {
	case "xdp":
		return []bool{true}
	case "tc":
		return []bool{false}
	}
	return []bool{true, false}
}
