package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
)

func (c *command) proc() *cobra.Command {
	return &cobra.Command{
		Use:   "proc NAME",
		Short: "Print what the kernel's IPVS would show in a file under /proc/net",
		Long: `Print what the kernel's IPVS would show in /proc/net/NAME: ` + strings.Join(ipvsadm.Files, ", ") + `.
For exporters and scripts that read those files.`,
		Example:   "  weir proc ip_vs\n  weir proc ip_vs_stats",
		ValidArgs: ipvsadm.Files,
		Args:      cobra.ExactArgs(1),
		PreRunE: c.understood(func(args []string) error {
			if !slices.Contains(ipvsadm.Files, args[0]) {
				return fmt.Errorf("unknown file %q; one of %s", args[0], strings.Join(ipvsadm.Files, " "))
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return c.printProc(cmd.Context(), args[0]) },
	}
}

func (c *command) printProc(ctx context.Context, name string) error {
	var text string
	switch name {
	case "ip_vs":
		entries, err := entriesOf(c.weir().EachService(ctx))
		if err != nil {
			return err
		}
		text = ipvsadm.FileTable(entries)
	case "ip_vs_conn", "ip_vs_conn_sync":
		return c.procConnections(ctx, name == "ip_vs_conn_sync")
	case "ip_vs_app":
		text = ipvsadm.FileApp()
	default:
		t, err := c.weir().Totals(ctx)
		if err != nil {
			return err
		}
		text = ipvsadm.FileStats(t.All, t.AllRates)
		if name == "ip_vs_stats_percpu" {
			text = ipvsadm.FileStatsPerCPU(t.All, t.AllRates)
		}
	}
	_, err := io.WriteString(c.Stdout, text)
	return err
}

func (c *command) procConnections(ctx context.Context, sync bool) error {
	if _, err := io.WriteString(c.Stdout, ipvsadm.FileConnectionTitle(sync)); err != nil {
		return err
	}
	return everyConnection(ctx, c.weir(), func(page []client.Connection) error {
		var b strings.Builder
		for _, x := range page {
			n, err := connectionOf(x)
			if err != nil {
				return err
			}
			b.WriteString(n.FileLine(sync))
		}
		_, err := io.WriteString(c.Stdout, b.String())
		return err
	})
}
