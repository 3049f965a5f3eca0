// Command weir is Linux Virtual Server in one program. This package picks the
// command and wires the daemon; what there is to know is in the rooms under
// internal. It decides nothing itself.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/cli"
	"github.com/weir-lb/weir/internal/demo"
	"github.com/weir-lb/weir/internal/realserver/host"
)

// version is set by the linker when a release is built.
var version string

func main() {
	os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:]))
}

// hasty makes a command that soon ends collect garbage seldom.
func hasty(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// sparing makes the daemon collect garbage earlier, unless somebody has said
// when: what a large table leaves behind for a moment is as much as the table,
// and a daemon has time.
func sparing(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(30)
	}
}

// run answers as the program it is called as.
func run(program string, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hasty(os.Getenv)
	env := cli.Env{
		Stdin:    os.Stdin,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Getenv:   os.Getenv,
		Terminal: terminal(os.Stdout),
		Version:  versionText(),
		Socket:   client.SocketPath(),
		Names:    cli.SystemNames(ctx),
		HostName: cli.SystemHostName(ctx),
		PortName: cli.SystemPortName(),
		Remove:   removeLeft,
		Gone:     gone,
	}
	env.Run = func(ctx context.Context, o cli.RunOptions) error {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		sparing(os.Getenv)
		return runDaemon(ctx, system(env, o, hangup))
	}
	env.RealServer = func(asking bool) cli.RealServer {
		return host.Host{Record: recordPath(client.SocketPath()), Ask: asking}
	}
	env.Demo = func(ctx context.Context, o demo.Options) error {
		// Whichever way its reader goes away, the demo tidies up.
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGPIPE)
		defer stop()
		return demo.Run(ctx, o)
	}
	if cli.SpeaksAs(program) {
		return cli.Speak(ctx, env, program, args)
	}
	return cli.Main(ctx, env, args)
}

// recordPath is the file that remembers what weir realserver has changed: in
// the run directory, which is gone when the host is switched off, as are the
// changes.
func recordPath(socket string) string { return filepath.Join(filepath.Dir(socket), "realserver.json") }

func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// versionText is the release, or else the revision the sources were at.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if revision == "" {
		return "development"
	}
	return "development-" + revision + changed
}
