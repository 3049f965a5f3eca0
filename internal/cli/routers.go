package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
)

func (c *command) directors() *cobra.Command {
	return &cobra.Command{
		Use:     "directors",
		Short:   "Say which director holds the addresses of which virtual router",
		Example: "  weir directors\n  weir directors --json | jq '.[] | select(.state == \"active\") | .name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.weir().Routers(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(all)
			}
			return c.routerTable(all)
		},
	}
}

func (c *command) routerTable(all []client.Router) error {
	if len(all) == 0 {
		fmt.Fprintln(c.Stderr, "weir: no virtual routers; weir.yaml names them under routers")
		return nil
	}
	t := &table{right: map[int]bool{3: true}}
	t.row("ROUTER", "HERE", "SINCE", "PRIORITY", "ACTIVE DIRECTOR", "ADDRESSES", "WHY")
	for _, r := range all {
		active := "unknown"
		switch {
		case r.State == "active":
			active = "this one"
		case r.Active.IsValid():
			active = r.Active.String()
		}
		t.row(r.Name, r.State, moment(r.Since), strconv.Itoa(int(r.Priority)), active, strings.Join(r.Addresses, ", "), r.Why)
	}
	return t.print(c.Stdout)
}

func (c *command) handover() *cobra.Command {
	return &cobra.Command{
		Use:     "handover [ROUTER]",
		Short:   "Give the addresses of a virtual router, or of all, to a peer",
		Long:    "This director gives up the addresses, and its peers take over at once. They keep them until nobody holds them, or until they hand them over. The routers of a group go together.",
		Example: "  weir handover\n  weir handover outside",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := args
			if len(names) == 0 {
				all, err := c.weir().Routers(cmd.Context())
				if err != nil {
					return err
				}
				names = activeOnes(all)
			}
			if len(names) == 0 {
				return errors.New("this director holds the addresses of no virtual router; weir directors says who does")
			}
			for _, name := range names {
				if err := c.weir().HandOver(cmd.Context(), name); err != nil {
					return err
				}
				fmt.Fprintln(c.Stdout, name+" handed over")
			}
			return nil
		},
	}
}

// activeOnes are the routers that are active here, one of each group: the
// others of it follow.
func activeOnes(all []client.Router) (names []string) {
	groups := map[string]bool{}
	for _, r := range all {
		if r.State != "active" || r.Group != "" && groups[r.Group] {
			continue
		}
		groups[r.Group] = true
		names = append(names, r.Name)
	}
	return names
}
