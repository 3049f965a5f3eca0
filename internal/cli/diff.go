package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect/all"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

func (c *command) diff() *cobra.Command {
	var s source
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Print what a configuration would change, as ipvsadm lines",
		Long: `Print the steps by which the running weir would come from what is installed to
what the configuration asks for, as ipvsadm lines. Nothing is changed. Without
a running weir the table is taken as empty and every real server as up.
Only what the file says otherwise than the one in force is changed; what was
changed by hand is named, and stays.`,
		Example: "  weir diff -c weir.yaml\n  weir diff -c weir.yaml --json",
		Args:    fileByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := ReadFile(s.file)
			if err != nil {
				return err
			}
			cfg, problems := all.Read(s.file, text, s.format, c.Names)
			for _, p := range problems {
				fmt.Fprintln(c.Stderr, p)
			}
			if problems.Err() != nil {
				return errPrinted
			}
			return c.compared(cmd.Context(), client.ConfigText{File: s.file, Text: string(text), Format: s.format}, cfg)
		},
	}
	s.flags(cmd)
	return cmd
}

func (c *command) compared(ctx context.Context, text client.ConfigText, cfg config.Config) error {
	d, err := c.weir().DiffConfig(ctx, text)
	running := err == nil
	switch {
	case errors.Is(err, client.ErrNotRunning):
		fmt.Fprintf(c.Stderr, "weir: %v: compared with an empty table, every real server taken as up\n", err)
		d = client.Diff{Steps: []string{}, ByHand: []client.Hand{}}
		for _, s := range plan.Diff(nil, plan.Desired(allUp(cfg))) {
			d.Steps = append(d.Steps, s.Lines()...)
		}
	case err != nil:
		return err
	}
	if c.json {
		return c.printJSON(struct {
			Running bool `json:"running"`
			client.Diff
		}{running, d})
	}
	for _, h := range d.ByHand {
		fmt.Fprintf(c.Stderr, "weir: %s was %s by hand; what the file has not changed stays so\n", h.Service, h.Hand)
	}
	if len(d.Steps) == 0 {
		fmt.Fprintln(c.Stderr, "weir: nothing would change")
	}
	for _, l := range d.Steps {
		fmt.Fprintln(c.Stdout, l)
	}
	return nil
}

// allUp believes every real server that may be up to be up.
func allUp(cfg config.Config) plan.Inputs {
	in := plan.Inputs{Config: cfg, Configured: true, Health: plan.Beliefs{}}
	for _, s := range cfg.Services {
		hs := make([]lvs.DestinationHealth, 0, len(s.Reals))
		for _, r := range s.Reals {
			hs = append(hs, lvs.DestinationHealth{Addr: r.Addr, Health: lvs.Health{Up: r.Check.Value().Kind != lvs.CheckOff}})
		}
		in.Health[s.Key] = lvs.HealthsOf(hs...)
	}
	return in
}
