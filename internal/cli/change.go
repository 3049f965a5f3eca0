package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
)

// stopTime is how long a weir may take to stop.
const stopTime = 30 * time.Second

func (c *command) reload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running weir read its configuration again",
		Long: `Make the running weir read its configuration again, as SIGHUP does, and wait
until it is applied. A broken configuration changes nothing; its problems are
printed with file and line.`,
		Example: "  weir reload",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.weir().Reload(cmd.Context())
			return c.reloaded(r, err)
		},
	}
}

// reloaded says that a configuration was applied.
func (c *command) reloaded(r client.Reloaded, err error) error {
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(r)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(c.Stderr, w)
	}
	_, err = fmt.Fprintf(c.Stdout, "%s applied\n", r.File)
	return err
}

func (c *command) apply() *cobra.Command {
	var s source
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Put a file in the place of the running weir's configuration, and apply it",
		Long: `Put the text of a file in the place of the running weir's configuration file and
apply it. If it has problems nothing is changed. weir rollback takes it back.`,
		Example: "  weir apply -c new.yaml",
		Args:    fileByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := ReadFile(s.file)
			if err != nil {
				return err
			}
			r, err := c.weir().ApplyConfig(cmd.Context(), text)
			return c.reloaded(r, err)
		},
	}
	cmd.Flags().StringVarP(&s.file, "config", "c", DefaultFile, "configuration `FILE`")
	return cmd
}

func (c *command) rollback() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the configuration before the one in force",
		Long: `Put the text of the configuration before the one in force in the place of the
file, and apply it. Done twice, it is as before: it goes back one step.`,
		Example: "  weir rollback",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.weir().Rollback(cmd.Context())
			return c.reloaded(r, err)
		},
	}
}

func (c *command) history() *cobra.Command {
	return &cobra.Command{
		Use:     "history",
		Short:   "List the configurations that were applied",
		Example: "  weir history\n  weir history --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.weir().History(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(all)
			}
			t := &table{}
			t.row("APPLIED", "HOW", "ID")
			for _, v := range all {
				t.row(moment(v.At), v.How, v.ID)
			}
			return t.print(c.Stdout)
		},
	}
}

func (c *command) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop weir and take its table away: packets are no longer balanced",
		Long: `Stop the running weir and take away its services, connections, packet engine
and neighbour entries. Without a running weir, take away what one has left standing. Services
configured to stay (cleanstop=no) are kept if weir runs and can be asked.`,
		Example: "  weir down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), stopTime)
			defer cancel()
			answer, err := c.weir().Down(ctx)
			switch {
			case errors.Is(err, client.ErrNotRunning):
				if err := c.Remove(ctx, c.at.socket); err != nil {
					return err
				}
				answer.Kept = []string{}
			case err != nil:
				return err
			case c.weir().Local(): // of another host nobody here knows
				if err := c.Gone(ctx); err != nil {
					return fmt.Errorf("weir was told to stop but is still there: %w; look at its log", err)
				}
			}
			if c.json {
				return c.printJSON(answer)
			}
			for _, k := range answer.Kept {
				fmt.Fprintf(c.Stdout, "kept %s\n", k)
			}
			fmt.Fprintln(c.Stdout, "weir is down")
			return nil
		},
	}
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  weir version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.json {
				return c.printJSON(map[string]string{"version": c.Version})
			}
			_, err := fmt.Fprintln(c.Stdout, "weir", c.Version)
			return err
		},
	}
}
