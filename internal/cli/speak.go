package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
	"github.com/weir-lb/weir/internal/lvs"
)

// programs are the names weir answers to as other programs.
var programs = map[string]func(*speaker, context.Context, []string) int{
	"ipvsadm":         (*speaker).run,
	"ipvsadm-save":    (*speaker).save,
	"ipvsadm-restore": (*speaker).restoreAll,
}

// SpeaksAs tells whether weir answers as this program.
func SpeaksAs(program string) bool { return programs[program] != nil }

// Speak answers as ipvsadm, ipvsadm-save or ipvsadm-restore, and returns its
// exit status.
func Speak(ctx context.Context, env Env, program string, args []string) int {
	t := target{socket: env.Socket}
	// Refused only where both are said, and here nothing is.
	_ = t.settle(env.Getenv, func(string) bool { return false })
	return programs[program](newSpeaker(env, t.client()), ctx, args)
}

func (c *command) ipvsadm() *cobra.Command {
	return &cobra.Command{
		Use:   "ipvsadm",
		Short: "Answer as ipvsadm: its options, listings, errors and exit codes",
		Long: `Answer as ipvsadm 1.31: its options, listings, error texts and exit codes. A link
named ipvsadm, ipvsadm-save or ipvsadm-restore makes weir answer as those
programs. Exit codes are 0, 1 (a listing failed), 2 (wrong usage) and 255
(refused), as there.`,
		Example:            "  weir ipvsadm -Ln\n  weir ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 5\n  weir ipvsadm -Sn > table",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			t := target{socket: c.Socket}
			args, said := t.take(args)
			if err := t.settle(c.Getenv, said); err != nil {
				c.ran = false
				return err
			}
			if len(args) == 1 && args[0] == "--help" {
				return cmd.Help()
			}
			if code := newSpeaker(c.Env, t.client()).run(cmd.Context(), args); code != Good {
				return exitCode(code)
			}
			return nil
		},
	}
}

// A speaker carries out what is typed in ipvsadm's language.
type speaker struct {
	Env
	weir  *client.Client
	names ipvsadm.Names
}

func newSpeaker(env Env, weir *client.Client) *speaker {
	return &speaker{Env: env, weir: weir,
		names: ipvsadm.Names{Names: env.Names, HostName: env.HostName, PortName: env.PortName}}
}

func (s *speaker) run(ctx context.Context, args []string) int {
	c, fault := ipvsadm.Parse(args, s.names)
	if fault != nil {
		return s.fail(fault)
	}
	if c.Verb == ipvsadm.Restore {
		return s.restore(ctx, s.Stdin)
	}
	return s.obey(ctx, c)
}

func (s *speaker) fail(f *ipvsadm.Failure) int {
	fmt.Fprintln(s.Stderr, f.Text)
	return f.Code
}

// obey carries out one command.
func (s *speaker) obey(ctx context.Context, c ipvsadm.Command) int {
	if change, ok := c.Change(); ok {
		errs, err := s.weir.Change(ctx, []lvs.Change{change})
		if err == nil {
			err = errs[0]
		}
		return s.outcome(c, err)
	}
	switch c.Verb {
	case ipvsadm.Help:
		return s.print(ipvsadm.HelpText(), nil)
	case ipvsadm.Version:
		return s.print(ipvsadm.VersionText, nil)
	case ipvsadm.Zero:
		var k *lvs.ServiceKey
		if c.Named && !everything(c.Service.Key) {
			k = &c.Service.Key
		}
		return s.outcome(c, s.weir.Zero(ctx, k))
	case ipvsadm.StartDaemon:
		return s.outcome(c, s.weir.StartSync(ctx, c.Daemon))
	case ipvsadm.StopDaemon:
		return s.outcome(c, s.weir.StopSync(ctx, c.Daemon.Role))
	}
	return s.list(ctx, c)
}

// everything tells whether the kernel takes k to mean all services: no mark,
// no address, no port.
func everything(k lvs.ServiceKey) bool {
	return k.Mark == 0 && k.Addr.Addr().IsUnspecified() && k.Addr.Port() == 0
}

func (s *speaker) print(text string, err error) int {
	if err == nil {
		_, err = io.WriteString(s.Stdout, text)
	}
	if err != nil {
		fmt.Fprintln(s.Stderr, err)
		return ipvsadm.ListCode
	}
	return Good
}

// outcome says what became of a command.
func (s *speaker) outcome(c ipvsadm.Command, err error) int {
	switch {
	case err == nil:
		return Good
	case errors.Is(err, client.ErrNotRunning):
		fmt.Fprintf(s.Stderr, "Can't initialize ipvs: %v\nStart it with: weir run -c FILE\n", err)
		return Usage
	case errors.Is(err, client.ErrUnreachable):
		fmt.Fprintf(s.Stderr, "Can't initialize ipvs: %v\n", err)
		return Usage
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprint(s.Stderr, "Can't initialize ipvs: Permission denied (you must be root)\n"+
			"Are you sure that IP Virtual Server is built in the kernel or as module?\n")
		return Usage
	}
	fmt.Fprintln(s.Stderr, ipvsadm.ErrorText(c.Verb, err))
	if c.Verb == ipvsadm.List || c.Verb == ipvsadm.Save {
		return ipvsadm.ListCode
	}
	return ipvsadm.Refused
}

// save is ipvsadm-save, a script around ipvsadm -S.
func (s *speaker) save(ctx context.Context, args []string) int {
	if len(args) > 0 && !slices.Equal(args, []string{"-n"}) {
		fmt.Fprint(s.Stderr, "ipvsadm-save: Script to save the IPVS table to stdout.\n"+
			"   With the -n option, prints out the table in numeric format.\n")
		return 1
	}
	return s.run(ctx, append([]string{"-S"}, args...))
}
