package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/realserver"
)

// A RealServer makes this host one, and what it was before.
type RealServer interface {
	Up(context.Context, realserver.Wish) (realserver.Report, error)
	Check(context.Context, *realserver.Wish) (realserver.Report, error)
	Show(context.Context) (realserver.Report, error)
	Down(context.Context) (realserver.Report, error)
}

func (c *command) realserver() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "realserver",
		Short: "Prepare this host to be a real server, and find out why it is none",
		Long: `Prepare this host, a real server, for what a director sends by gate or through
a tunnel: virtual addresses on lo that nobody is told of, settings for ARP and
reverse paths, and a program that unwraps tunnels where the kernel has no
device for it. The director itself needs none of this.`,
		Example: `  weir realserver up --vip 192.0.2.1 --method gate
  weir realserver check
  weir realserver down`,
	}
	cmd.AddCommand(c.realserverUp(), c.realserverCheck(), c.realserverShow(), c.realserverDown())
	return cmd
}

// wishFlags are the words for a wish.
type wishFlags struct {
	vips, methods, interfaces, from []string
	port                            uint16
	ask                             bool
}

func (w *wishFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&w.vips, "vip", nil, "virtual `address`; repeat it for more")
	f.StringSliceVar(&w.methods, "method", nil, "how the director forwards: gate, ipip, gue or gre; repeat it for more")
	f.Uint16Var(&w.port, "port", 0, "UDP `port` of gue (6080 by default)")
	f.StringSliceVar(&w.interfaces, "interface", nil, "`name` of the interface where the director's packets arrive (any Ethernet-like one by default)")
	f.StringSliceVar(&w.from, "from", nil, "`address` or prefix of a director; others may send no tunnel packets (anybody by default)")
	f.BoolVar(&w.ask, "ask", true, "ask the network who else answers for the virtual addresses")
}

func (w *wishFlags) said() bool {
	return len(w.vips)+len(w.methods)+len(w.interfaces)+len(w.from) > 0 || w.port != 0
}

// wish reads the words; everything that is wrong with them is said at once.
func (w *wishFlags) wish() (wish realserver.Wish, err error) {
	var wrong []string
	for _, v := range w.vips {
		a, err := netip.ParseAddr(v)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("--vip %s: not an address", v))
			continue
		}
		wish.VIPs = append(wish.VIPs, a)
	}
	for _, v := range w.from {
		p, err := netip.ParsePrefix(v)
		if a, notPrefix := netip.ParseAddr(v); err != nil && notPrefix == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("--from %s: neither an address nor a prefix", v))
			continue
		}
		wish.From = append(wish.From, p.Masked())
	}
	for _, m := range w.methods {
		wish.Methods = append(wish.Methods, realserver.Method(m))
	}
	wish.Port, wish.Interfaces = w.port, w.interfaces
	if len(wrong) == 0 {
		err = wish.Check()
	} else {
		err = fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	return wish, err
}

func (c *command) realserverUp() *cobra.Command {
	var w wishFlags
	var wish realserver.Wish
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make this host a real server",
		Long: `Make this host a real server for these virtual addresses, and say what was
done. Nothing is left running: it stays so until weir realserver down, or until
the host is switched off. The words say the whole: what an earlier up has
changed and this one does not need is undone. The exit status is 1 if something
is still wrong afterwards that a person must put right.`,
		Example: `  weir realserver up --vip 192.0.2.1 --vip 2001:db8::1 --method gate
  weir realserver up --vip 192.0.2.1 --method gue --from 10.0.0.1 --interface eth0`,
		Args: cobra.NoArgs,
		PreRunE: c.understood(func([]string) (err error) {
			wish, err = w.wish()
			return err
		}),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rep, err := c.RealServer(w.ask).Up(cmd.Context(), wish)
			if err != nil {
				return err
			}
			return c.realserverReport(rep)
		},
	}
	w.add(cmd)
	return cmd
}

func (c *command) realserverCheck() *cobra.Command {
	var w wishFlags
	var wish *realserver.Wish
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with this host as a real server, and change nothing",
		Long: `Compare this host with what a real server needs, line by line, and say how to
put right what is wrong. Without words the ones of the last up are taken. Two
or three questions are sent to the network: who answers for the virtual
addresses? The exit status is 1 if something is wrong.`,
		Example: `  weir realserver check
  weir realserver check --vip 192.0.2.1 --method ipip --json`,
		Args: cobra.NoArgs,
		PreRunE: c.understood(func([]string) error {
			if !w.said() {
				return nil
			}
			asked, err := w.wish()
			wish = &asked
			return err
		}),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rep, err := c.RealServer(w.ask).Check(cmd.Context(), wish)
			if err != nil {
				return err
			}
			return c.realserverReport(rep)
		},
	}
	w.add(cmd)
	return cmd
}

func (c *command) realserverShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Print what weir has changed on this host, and what became of tunnel packets",
		Example: "  weir realserver show\n  weir realserver show --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rep, err := c.RealServer(false).Show(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(rep)
			}
			if rep.Wish == nil {
				fmt.Fprintln(c.Stdout, "weir has changed nothing on this host")
			} else {
				fmt.Fprintf(c.Stdout, "up %s\n", rep.Wish)
			}
			c.changes("changed", rep.Changes)
			return c.fates(rep.Fates)
		},
	}
}

func (c *command) realserverDown() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Undo what up has done, and nothing else",
		Long: `Undo what weir realserver up has done: its addresses, its program, its
settings. A setting that somebody has changed since stays as it is.`,
		Example: "  weir realserver down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rep, err := c.RealServer(false).Down(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(rep)
			}
			c.changes("undone", rep.Undone)
			c.changes("left, changed by somebody since", rep.Kept)
			_, err = fmt.Fprintln(c.Stdout, "this host is no real server of weir's any more")
			return err
		},
	}
}

// realserverReport prints what was done and how the host stands.
func (c *command) realserverReport(rep realserver.Report) error {
	if c.json {
		if err := c.printJSON(rep); err != nil {
			return err
		}
	} else {
		c.changes("undone", rep.Undone)
		c.changes("left, changed by somebody since", rep.Kept)
		c.changes("done", rep.Done)
		t := &table{colour: c.colour()}
		for _, r := range rep.Requirements {
			t.row(string(r.State), r.Name, r.Found)
			if r.State != realserver.OK && r.Fix != "" {
				t.row("", "", "→ "+r.Fix)
			}
		}
		if err := t.print(c.Stdout); err != nil {
			return err
		}
	}
	if realserver.Bad(rep.Requirements) {
		return errPrinted
	}
	return nil
}

func (c *command) changes(word string, list []realserver.Change) {
	for _, x := range list {
		fmt.Fprintf(c.Stdout, "%s: %s\n", word, x)
	}
}

func (c *command) fates(list []realserver.Fate) error {
	if len(list) == 0 {
		return nil
	}
	t := &table{right: map[int]bool{1: true}}
	t.row("TUNNEL PACKETS", "NUMBER", "FATE", "MEANING")
	for _, f := range list {
		t.row(f.Name, strconv.FormatUint(f.Packets, 10), f.Fate, f.Help)
	}
	return t.print(c.Stdout)
}
