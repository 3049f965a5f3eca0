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
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(r)
			}
			for _, w := range r.Warnings {
				fmt.Fprintln(c.Stderr, w)
			}
			fmt.Fprintf(c.Stdout, "%s applied\n", r.File)
			return nil
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
				if err := c.Remove(ctx); err != nil {
					return err
				}
				answer.Kept = []string{}
			case err != nil:
				return err
			default:
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
