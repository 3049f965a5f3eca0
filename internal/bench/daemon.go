package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lab"
)

// A daemon is a weir that runs as a program on a host of a lab.
type daemon struct {
	host   *lab.Host
	exe    string
	dir    string // configuration and log
	socket string
	ask    *client.Client
	cmd    *lab.Cmd
	ended  chan struct{}
}

func newDaemon(h *lab.Host, exe string) (*daemon, error) {
	exe, err := filepath.Abs(exe)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(exe); err != nil {
		return nil, fmt.Errorf("weir itself is to be measured (make build makes it): %w", err)
	}
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	socket, err := client.SocketPathIn(h.Path())
	if err != nil {
		return nil, err
	}
	return &daemon{host: h, exe: exe, dir: dir, socket: socket, ask: client.New(socket)}, nil
}

// start runs weir with a configuration, and does not wait for it.
func (d *daemon) start(config string, args ...string) error {
	file := filepath.Join(d.dir, "weir.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = d.host.Command(context.Background(), d.exe, append([]string{"run", "-c", file}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	d.ended = ended
	go func() {
		_ = d.cmd.Wait() // that it ended is all that counts
		close(ended)
	}()
	return nil
}

// await asks again and again until the answer is yes.
func (d *daemon) await(ctx context.Context, what string, patience time.Duration, yes func() bool) error {
	end := time.Now().Add(patience)
	for !yes() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.ended:
			return fmt.Errorf("%s: weir has ended: %s", what, d.lastWords())
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %s: %s", what, patience, d.lastWords())
		}
	}
	return nil
}

func (d *daemon) lastWords() string {
	text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("; ")))
}

// ready tells whether the table stands as it should, with so many services.
func (d *daemon) ready(ctx context.Context, services int) func() bool {
	return func() bool {
		s, err := d.ask.Status(ctx)
		return err == nil && s.Configured && s.Problem == "" && s.Services == services
	}
}

// run has the program answer a question.
func (d *daemon) run(ctx context.Context, args ...string) (time.Duration, error) {
	c := d.host.Command(ctx, d.exe, append([]string{"--socket", d.socket}, args...)...)
	began := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("weir %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return time.Since(began), nil
}

// peak is the most memory the daemon has had, in MiB.
func (d *daemon) peak() (float64, error) {
	var kib float64
	_, err := fmt.Sscan(word(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid), "VmHWM", ""), &kib)
	return kib / 1024, err
}

func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGKILL) // one that has ended is as good
	<-d.ended
	d.cmd = nil
}

// close takes everything away, running or not.
func (d *daemon) close(ctx context.Context) error {
	_, err := d.run(context.WithoutCancel(ctx), "down")
	if d.cmd != nil {
		select {
		case <-d.ended:
		case <-time.After(10 * time.Second):
		}
		d.kill()
	}
	return errors.Join(err, os.RemoveAll(d.dir), os.RemoveAll(filepath.Dir(d.socket)))
}
