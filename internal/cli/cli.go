// Package cli is what people type: it reads files, asks the running weir
// through its client, and prints. Nouns look, verbs change.
//
// It never touches a data plane or the network configuration, and it never
// ends the process: what only the program can do is handed in with Env.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/demo"
	"github.com/weir-lb/weir/internal/dialect"
)

// Exit codes.
const (
	Good    = 0
	Refused = 1
	Usage   = 2
)

// DefaultFile is the configuration that is read when none is named.
const DefaultFile = "/etc/weir/weir.yaml"

// An Env is the world a command sees.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Terminal       bool // Stdout is one
	Version        string
	Socket         string        // where weir listens unless --socket says otherwise
	Names          dialect.Names // for files that name hosts and ports
	// HostName and PortName are what the system calls addresses and ports;
	// empty if it does not.
	HostName func(netip.Addr) string
	PortName func(port uint16, protocol string) string
	// Run is the daemon.
	Run func(context.Context, RunOptions) error
	// Remove takes away what a weir that no longer runs has left standing; the
	// socket is where it listened.
	Remove func(ctx context.Context, socket string) error
	// Gone waits until no weir runs here any more.
	Gone func(context.Context) error
	// RealServer is this host as a real server; asking: it may ask the network
	// who has the virtual addresses.
	RealServer func(asking bool) RealServer
	// Demo plays weir demo.
	Demo func(context.Context, demo.Options) error
	// More are commands that other rooms bring.
	More []*cobra.Command
}

// RunOptions are those of `weir run`.
type RunOptions struct {
	File   string
	Format string
	Socket string
	Engine EngineOptions
}

// EngineOptions are said on the command line for files whose language has no
// words for them; they win over the file. Zero values leave it what it says.
type EngineOptions struct {
	Dataplane   string // ebpf or ipvs
	Mode        string // auto, xdp or tc
	Interfaces  string // names, separated by commas
	Connections int
}

// Apply puts them into a configuration.
func (o EngineOptions) Apply(e config.Engine) config.Engine {
	if o.Dataplane != "" {
		e.Dataplane = config.Dataplane(o.Dataplane)
	}
	if o.Mode != "" {
		e.Mode = config.Mode(o.Mode)
	}
	if o.Interfaces != "" {
		e.Interfaces = strings.Split(o.Interfaces, ",")
	}
	if o.Connections != 0 {
		e.Connections = o.Connections
	}
	return e
}

// check refuses what no engine could be opened with.
func (o EngineOptions) check() error {
	switch config.Dataplane(o.Dataplane) {
	case "", config.EBPF, config.IPVS:
	default:
		return fmt.Errorf("--dataplane %q: use ebpf or ipvs", o.Dataplane)
	}
	switch config.Mode(o.Mode) {
	case "", config.ModeAuto, config.ModeXDP, config.ModeTC:
	default:
		return fmt.Errorf("--mode %q: use auto, xdp or tc", o.Mode)
	}
	if o.Connections != 0 && (o.Connections < config.MinConnections || o.Connections > config.MaxConnections) {
		return fmt.Errorf("--connections %d: use %d to %d", o.Connections, config.MinConnections, config.MaxConnections)
	}
	return nil
}

// errPrinted is an error whose reasons have been printed already.
var errPrinted = errors.New("refused")

// An exitCode ends a command that has said everything itself.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// A command is one invocation.
type command struct {
	Env
	json bool
	at   target
	ran  bool // the words made sense, what fails now is no wrong usage
}

// Main runs the command args name and returns its exit code.
func Main(ctx context.Context, env Env, args []string) int {
	c := &command{Env: env}
	root := c.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var code exitCode
	switch {
	case err == nil:
		return Good
	case errors.As(err, &code):
		return int(code)
	case !c.ran:
		fmt.Fprintf(env.Stderr, "weir: %v; see %s --help\n", err, cmd.CommandPath())
		return Usage
	}
	c.printError(err)
	return Refused
}

// understood makes a check of a command's words its PreRunE: what it refuses
// is wrong usage, and nobody has been asked yet.
func (c *command) understood(check func(args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		err := check(args)
		c.ran = err == nil
		return err
	}
}

// printError prints err and, if it is known, what to do about it.
func (c *command) printError(err error) {
	var ps config.Problems
	switch {
	case errors.Is(err, errPrinted):
	case errors.As(err, &ps):
		for _, p := range ps {
			fmt.Fprintln(c.Stderr, p)
		}
	case errors.Is(err, client.ErrNotRunning):
		fmt.Fprintf(c.Stderr, "weir: %v; start it with: weir run -c FILE\n", err)
	default:
		fmt.Fprintf(c.Stderr, "weir: %v\n", err)
	}
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "weir",
		Short:         "Linux Virtual Server in one program",
		Long:          "weir spreads TCP and UDP traffic over real servers, watches them, and keeps on when one fails.",
		Example:       "  weir check -c weir.yaml\n  weir run -c weir.yaml\n  weir services",
		Version:       c.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := c.at.settle(c.Getenv, cmd.Flags().Changed)
			c.ran = err == nil
			return err
		},
	}
	root.SetVersionTemplate("weir {{.Version}}\n")
	root.SetIn(c.Stdin)
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	f := root.PersistentFlags()
	f.BoolVar(&c.json, "json", false, "print JSON, in the form of the API")
	c.at.flags(f, c.Socket)
	root.AddCommand(c.run(), c.check(), c.diff(), c.convert(), c.schema(), c.status(), c.services(),
		c.connections(), c.explain(), c.totals(), c.events(), c.directors(), c.handover(), c.reload(), c.down(), c.realserver(), c.demo(), c.ipvsadm(), c.proc(), c.metrics(), c.token(), c.apply(),
		c.rollback(), c.history(), c.version())
	root.AddCommand(c.orders()...)
	root.AddCommand(c.More...)
	completions(root)
	root.InitDefaultCompletionCmd()
	return root
}

// weir is a client of the running one.
func (c *command) weir() *client.Client { return c.at.client() }

// printJSON is the form for machines.
func (c *command) printJSON(v any) error {
	e := json.NewEncoder(c.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
