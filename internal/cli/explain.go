package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

func (c *command) explain() *cobra.Command {
	var q client.ExplainQuery
	cmd := &cobra.Command{
		Use:   "explain PROTOCOL FROM TO",
		Short: "Tell step by step what would happen to a packet, and why",
		Long: "Runs a made-up packet through the real packet engine and its present table. Nothing changes by it:\n" +
			"no connection is made, nothing is counted, no scheduler takes a turn.",
		Example: `  weir explain tcp 203.0.113.9:40000 192.0.2.1:80
  weir explain esp 203.0.113.9 192.0.2.1
  weir explain tcp 203.0.113.9:40000 192.0.2.1:80 --flags A
  weir explain udp [2001:db8::9]:5353 [2001:db8:1::1]:53 --length 1400`,
		Args: cobra.ExactArgs(3),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"tcp", "udp", "sctp", "esp", "ah"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		PreRunE: c.understood(func(args []string) error {
			q.Protocol, q.From, q.To = strings.ToLower(args[0]), args[1], args[2]
			_, err := q.Probe()
			return err
		}),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := c.weir().Explain(cmd.Context(), q)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(e)
			}
			return c.explanation(e)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Flags, "flags", "", "TCP `flags`, letters of S A F R P (default S)")
	f.Uint8Var(&q.TTL, "ttl", 0, "hop `count` (default 64)")
	f.IntVar(&q.Length, "length", 0, "`bytes` of the IP packet (default: headers only)")
	f.StringVar(&q.Interface, "interface", "", "`name` of the interface it arrives on (default: any that is attached)")
	return cmd
}

func (c *command) explanation(e lvs.Explanation) error {
	for i, s := range e.Steps {
		line := fmt.Sprintf("%2d  %s", i+1, s.What)
		if s.Why != "" {
			line += ": " + s.Why
		}
		if _, err := fmt.Fprintln(c.Stdout, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.Stdout, "=>  %s (%s): %s\n", e.Verdict, e.Fate, e.Help)
	return err
}
