package demo

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/weir-lb/weir/internal/lab"
)

// A process is a program of ours on a host of the lab.
type process struct {
	cmd  *lab.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read it after done
}

// start runs this very program on h. It gets a session of its own: Ctrl-C is
// for the demo, which then ends its processes in order, and a kept cluster
// outlives the terminal. Its output is a file and no pipe for the same reason.
func start(h *lab.Host, output *os.File, exe string, args ...string) (*process, error) {
	c := h.Command(context.Background(), exe, args...)
	c.Stdout, c.Stderr = output, output
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", exe, h.Name(), err)
	}
	p := &process{cmd: c, done: make(chan struct{})}
	go func() {
		p.err = c.Wait()
		close(p.done)
	}()
	return p, nil
}

// kill ends the process as the out-of-memory killer would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // one that has ended is as good
	<-p.done
}

// end asks it to end, and insists.
func (p *process) end(within time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(within):
		p.kill()
	}
}

// running tells whether it has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
