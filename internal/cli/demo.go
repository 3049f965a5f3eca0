package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/demo"
)

func (c *command) demo() *cobra.Command {
	var keep, clean bool
	var server string
	var slow time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show weir at work in a cluster of network namespaces, and check what it promises",
		Long: `Build a client, a director and three real servers out of network namespaces,
run weir on the director, and send real requests: over both address families
and forwarding methods, under load, while real servers and weir itself are
killed. What is seen is compared with what is promised; the exit status is 1
if anything differs. Nothing of the machine is touched, nothing is left behind.`,
		Example: "  weir demo\n  weir demo --json\n  weir demo --keep\n  weir demo --clean",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case server != "":
				return demo.Server{Name: server, Slow: slow}.Serve(cmd.Context())
			case clean:
				return demo.Clean(c.Stdout)
			}
			return c.Demo(cmd.Context(), demo.Options{Stdout: c.Stdout, Stderr: c.Stderr, Terminal: c.Terminal,
				JSON: c.json, Keep: keep, Version: c.Version})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&keep, "keep", false, "leave the cluster and weir running, and say how to enter it")
	f.BoolVar(&clean, "clean", false, "remove what --keep has left")
	// What the demo's own processes are.
	f.StringVar(&server, "server", "", "be this real server")
	f.DurationVar(&slow, "slow", 0, "how long its slow port takes")
	_ = f.MarkHidden("server")
	_ = f.MarkHidden("slow")
	cmd.MarkFlagsMutuallyExclusive("keep", "clean", "server")
	return cmd
}
