package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/dialect/all"
	"github.com/weir-lb/weir/internal/lvs"
)

// completions tells the shell what may follow: files only where a file is
// named, and the words of options that take one of a few.
func completions(root *cobra.Command) {
	words := map[string][]string{
		"state":     lvs.StateNames(),
		"protocol":  {"tcp", "udp"},
		"mode":      {"auto", "xdp", "tc"},
		"format":    slices.Clone(all.Formats),
		"to":        {"weir", "ipvsadm"},
		"role":      lvs.Roles(),
		"dataplane": {"ebpf", "ipvs"},
	}
	for _, cmd := range below(root) {
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		for name, ws := range words {
			if cmd.Flags().Lookup(name) != nil {
				// Refused only for an option that is not there.
				_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(ws, cobra.ShellCompDirectiveNoFileComp))
			}
		}
	}
}

// below are all commands under cmd.
func below(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		all = append(append(all, c), below(c)...)
	}
	return all
}
