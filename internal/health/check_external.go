package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// grace is how long a program may take to end after it was told to, before it
// is killed.
const grace = 500 * time.Millisecond

// external runs a program of the operator; exit status 0 is a good answer.
type external struct {
	command string
	args    []string
	timeout time.Duration
}

// newExternal uses ldirectord's four arguments: virtual address and port,
// real address and port; a firewall mark service gives its mark and 0. The
// port is the real server's own, whatever port the check names.
func newExternal(t lvs.Target) (*external, error) {
	if t.Check.Command == "" {
		return nil, errors.New("external check without a command; name a program")
	}
	vip, vport := bracket(t.Service.Addr.Addr()), t.Service.Addr.Port()
	if t.Service.Mark != 0 {
		vip, vport = strconv.FormatUint(uint64(t.Service.Mark), 10), 0
	}
	return &external{
		command: t.Check.Command,
		args:    []string{vip, portText(vport), bracket(t.Destination.Addr()), portText(t.Destination.Port())},
		timeout: t.Check.Timeout,
	}, nil
}

func (e *external) String() string { return "external " + e.command }

// Check ignores target: the program is told whom to ask by its arguments.
func (e *external) Check(ctx context.Context, _ netip.AddrPort) error {
	limited, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	// A command holding blanks is one path, not a line for a shell.
	cmd := exec.CommandContext(limited, e.command, e.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	var said head
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if cmd.Process != nil && limited.Err() != nil {
		// Whatever the program started and left is in its group.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return e.judge(err, limited.Err() != nil, said.line())
}

func (e *external) judge(err error, late bool, said string) error {
	var exit *exec.ExitError
	switch {
	case err == nil, !late && errors.Is(err, exec.ErrWaitDelay):
		// The second: it ended well but left something running that
		// holds its output.
		return nil
	case late:
		return failf(lvs.ReasonTimeout, "%s did not end within %s", e.command, e.timeout)
	case !errors.As(err, &exit):
		return failf(lvs.ReasonCommand, "cannot run %s: %s", e.command, innermost(err))
	case exit.Exited():
		return failf(lvs.ReasonMismatch, "exit status %d, want 0%s", exit.ExitCode(), said)
	}
	return failf(lvs.ReasonMismatch, "%s: %s%s", e.command, exit, said)
}

func bracket(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

func portText(p uint16) string { return fmt.Sprint(p) }

// head keeps the beginning of what a program prints and lets the rest go, so
// that a talkative one neither fills memory nor blocks.
type head struct{ kept bytes.Buffer }

const mostHead = 4 << 10

func (h *head) Write(p []byte) (int, error) {
	h.kept.Write(p[:min(len(p), mostHead-h.kept.Len())])
	return len(p), nil
}

// line is the first line that says anything, ready to follow a sentence.
func (h *head) line() string {
	for line := range strings.Lines(h.kept.String()) {
		if line = strings.TrimSpace(line); line != "" {
			return ": " + line
		}
	}
	return ""
}
