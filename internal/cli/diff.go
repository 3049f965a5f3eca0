package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

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
a running weir the table is taken as empty and every real server as up.`,
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
			return c.compared(cmd.Context(), cfg)
		},
	}
	s.flags(cmd)
	return cmd
}

func (c *command) compared(ctx context.Context, cfg config.Config) error {
	var have []lvs.Service
	in := allUp(cfg)
	running, err := c.weir().Services(ctx)
	switch {
	case errors.Is(err, client.ErrNotRunning):
		fmt.Fprintf(c.Stderr, "weir: %v: compared with an empty table, every real server taken as up\n", err)
	case err != nil:
		return err
	default:
		if have, in, err = against(cfg, running); err != nil {
			return err
		}
	}
	lines := []string{}
	for _, s := range plan.Diff(have, plan.Desired(in)) {
		lines = append(lines, s.Lines()...)
	}
	if c.json {
		return c.printJSON(struct {
			Running bool     `json:"running"`
			Steps   []string `json:"steps"`
		}{err == nil, lines})
	}
	if len(lines) == 0 {
		fmt.Fprintln(c.Stderr, "weir: nothing would change")
	}
	for _, l := range lines {
		fmt.Fprintln(c.Stdout, l)
	}
	return nil
}

// allUp believes every real server that may be up to be up.
func allUp(cfg config.Config) plan.Inputs {
	in := plan.Inputs{Config: cfg, Configured: true, Health: plan.Beliefs{}}
	for _, s := range cfg.Services {
		in.Health[s.Key] = map[netip.AddrPort]lvs.Health{}
		for _, r := range s.Reals {
			in.Health[s.Key][r.Addr] = lvs.Health{Up: r.Check.Kind != lvs.CheckOff}
		}
	}
	return in
}

// against is what the running weir holds and what it would plan with: the
// health it knows of, and patience with services that are new to it.
func against(cfg config.Config, running []client.Service) ([]lvs.Service, plan.Inputs, error) {
	in := plan.Inputs{Config: cfg, Configured: true, Waiting: map[lvs.ServiceKey]bool{}}
	known := plan.Beliefs{}
	var have []lvs.Service
	for _, r := range running {
		s, health, err := installed(r)
		if err != nil {
			return nil, in, fmt.Errorf("read the answer of weir: %w; is it of another version?", err)
		}
		have = append(have, s)
		known[s.Key] = health
	}
	for _, s := range cfg.Services {
		in.Waiting[s.Key] = known[s.Key] == nil
	}
	in.Health = plan.Believe(cfg, known, have)
	return have, in, nil
}

func installed(r client.Service) (lvs.Service, map[netip.AddrPort]lvs.Health, error) {
	health := map[netip.AddrPort]lvs.Health{}
	for _, d := range r.Destinations {
		at, err := netip.ParseAddrPort(d.Destination)
		if err != nil {
			return lvs.Service{}, nil, err
		}
		if d.Health != "fallback" {
			health[at] = lvs.Health{Checked: d.Health != "unchecked", Up: d.Health == "up"}
		}
	}
	s, err := r.Noun()
	return s, health, err
}
