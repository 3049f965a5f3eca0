package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/bench"
)

// duel is what weir-bench guest runs in the guest.
func duel() *cobra.Command {
	var only string
	var flows []uint
	o := bench.DuelOptions{Out: os.Stdout, Log: slog.New(slog.DiscardHandler)}
	cmd := &cobra.Command{
		Use: "duel", Hidden: true, Short: "Compare with ip_vs on this kernel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted, err := regexp.Compile(only)
			if err != nil {
				return err
			}
			o.Only = wanted.MatchString
			for _, n := range flows {
				o.Flows = append(o.Flows, uint32(n))
			}
			s, err := bench.Duel(cmd.Context(), o)
			if err != nil {
				return err
			}
			text, err := json.Marshal(s)
			fmt.Printf("%s%s\n", bench.Told, text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&only, "only", "", "contestants whose names match this expression")
	f.BoolVar(&o.First, "receive-first", false, "change this machine so that receiving packets goes before all else")
	f.UintSliceVar(&flows, "flows", []uint{1, 10_000, 1_000_000}, "how many flows are known")
	f.IntVar(&o.Rounds, "rounds", 5, "measurements, of which the median is told")
	f.Uint32Var(&o.Times, "times", 50_000, "packets in a measurement")
	return cmd
}
