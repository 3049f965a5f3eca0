package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect/all"
	"github.com/weir-lb/weir/internal/plan"
)

// A source is the file a command works on.
type source struct{ file, format string }

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "config", "c", DefaultFile, "configuration `FILE`")
	cmd.Flags().StringVar(&s.format, "format", "", "its language, if not to be found out: "+strings.Join(all.Formats, " or "))
}

// fileByFlag refuses arguments and says where a file goes.
func fileByFlag(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument %q; a file is named with -c", cmd.CommandPath(), args[0])
	}
	return nil
}

func (c *command) run() *cobra.Command {
	var s source
	var e EngineOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the director in the foreground",
		Long: `Run the director in the foreground until SIGTERM or SIGINT, which leave packets
flowing; the next weir goes on from there. SIGHUP reads the configuration
again; a broken one changes nothing.`,
		Example: `  weir run -c /etc/weir/weir.yaml
  weir run -c /etc/ha.d/ldirectord.cf
  weir run -c /etc/ha.d/ldirectord.cf --mode xdp --interfaces eth0,eth1`,
		Args: func(cmd *cobra.Command, args []string) error {
			return errors.Join(fileByFlag(cmd, args), e.check())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.Run(cmd.Context(), RunOptions{File: s.file, Format: s.format, Socket: c.at.socket, Engine: e})
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&e.Dataplane, "dataplane", "", "who forwards packets: ebpf or ipvs (wins over the file)")
	f.StringVar(&e.Mode, "mode", "", "where packets meet the engine: auto, xdp or tc (wins over the file)")
	f.StringVar(&e.Interfaces, "interfaces", "", "`names` of the interfaces to balance on, separated by commas (wins over the file)")
	f.IntVar(&e.Connections, "connections", 0, "`entries` of the connection table, for each address family (wins over the file)")
	return cmd
}

func (c *command) check() *cobra.Command {
	var s source
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and print every problem with file and line",
		Long: `Check a configuration and print every problem with file and line. Exit status 1
if it could not be used. Nothing is changed and nobody is asked, so it needs
neither root nor a running weir.`,
		Example: "  weir check -c weir.yaml\n  weir check -c ldirectord.cf --json",
		Args:    fileByFlag,
		RunE: func(*cobra.Command, []string) error {
			text, err := ReadFile(s.file)
			if err != nil {
				return err
			}
			cfg, problems := all.Read(s.file, text, s.format, c.Names)
			if c.json {
				return c.checkedJSON(cfg, problems)
			}
			return c.checked(s.file, cfg, problems)
		},
	}
	s.flags(cmd)
	return cmd
}

func (c *command) checked(file string, cfg config.Config, problems config.Problems) error {
	for _, p := range problems {
		fmt.Fprintln(c.Stderr, p)
	}
	if problems.Err() != nil {
		return errPrinted
	}
	reals := 0
	for _, s := range cfg.Services {
		reals += len(s.Reals)
	}
	fmt.Fprintf(c.Stdout, "%s: good: %s, %s\n", file, count(len(cfg.Services), "service"), count(reals, "real server"))
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Text    string `json:"text"`
	Warning bool   `json:"warning"`
}

func (c *command) checkedJSON(cfg config.Config, problems config.Problems) error {
	out := struct {
		Good     bool          `json:"good"`
		Services int           `json:"services"`
		Problems []problemJSON `json:"problems"`
	}{problems.Err() == nil, len(cfg.Services), []problemJSON{}}
	for _, p := range problems {
		out.Problems = append(out.Problems, problemJSON{p.Place.File, p.Place.Line, p.Text, p.Warning})
	}
	if err := c.printJSON(out); err != nil {
		return err
	}
	if !out.Good {
		return errPrinted
	}
	return nil
}

func (c *command) convert() *cobra.Command {
	var s source
	var to string
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Print a configuration as weir.yaml or as ipvsadm lines",
		Long: `Print a configuration, in whatever language it is written, as weir.yaml, or the
table it asks for as the lines of ipvsadm -S with every real server up.`,
		Example: "  weir convert -c /etc/ha.d/ldirectord.cf > weir.yaml\n  weir convert -c weir.yaml --to ipvsadm",
		Args:    fileByFlag,
		PreRunE: c.understood(func([]string) error {
			if to != "weir" && to != "ipvsadm" {
				return fmt.Errorf("unknown language %q for --to; use weir or ipvsadm", to)
			}
			return nil
		}),
		RunE: func(*cobra.Command, []string) error {
			text, err := ReadFile(s.file)
			if err != nil {
				return err
			}
			cfg, problems := all.Wish(s.file, text, s.format, c.Names)
			for _, p := range problems {
				fmt.Fprintln(c.Stderr, p)
			}
			if problems.Err() != nil {
				return errPrinted
			}
			return c.converted(cfg, to)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "weir", "`language` to print: weir or ipvsadm")
	return cmd
}

func (c *command) converted(cfg config.Config, to string) error {
	if to == "weir" {
		_, err := c.Stdout.Write(config.Write(cfg))
		return err
	}
	for _, s := range plan.Desired(allUp(cfg)) {
		for _, line := range s.Lines() {
			if _, err := fmt.Fprintln(c.Stdout, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *command) schema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of weir.yaml",
		Example: "  weir schema > weir.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := c.Stdout.Write(append([]byte(strings.TrimSpace(string(config.Schema()))), '\n'))
			return err
		},
	}
}
