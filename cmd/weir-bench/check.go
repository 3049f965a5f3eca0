package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/bench"
)

func counters() *cobra.Command {
	var docs string
	var c chosen
	cmd := &cobra.Command{
		Use: "counters", Short: "Count what needs no clock: calls on each road, sizes of programs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.complete()
			if err != nil {
				return err
			}
			n, err := bench.Count(cmd.Context(), s.Log)
			if err != nil {
				return err
			}
			fmt.Fprint(s.Out, n.Text())
			if docs == "" {
				return nil
			}
			return n.Write(docs)
		},
	}
	cmd.Flags().StringVar(&docs, "write", "", "the folder to write them below; empty: only print")
	return cmd
}

func check() *cobra.Command {
	var docs string
	var c chosen
	cmd := &cobra.Command{
		Use: "check", Short: "Compare packets with the figures of an earlier run", Args: cobra.NoArgs,
		Long: "Measure packets again, and fail if one costs more than before by 15 %, as ratio to the floor of its own run. What seems worse is measured again, twice at most. " +
			"On another machine than the figures are of, only calls and sizes of programs are compared, as make test does.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.complete()
			if err != nil {
				return err
			}
			return s.Check(cmd.Context(), docs)
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&docs, "docs", "docs", "the folder with the figures")
	return cmd
}
