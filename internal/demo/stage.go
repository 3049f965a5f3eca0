package demo

import (
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

// A demo's namespaces are called weir-demo-<pid>.1-<host>, its directory is
// /run/weir-demo-<pid>: a person, and weir demo --clean, can tell them.
const (
	prefix = "weir-demo-"
	runDir = "/run"
)

// A stage is the cluster with everything that runs on it.
type stage struct {
	progress *progress
	exe      string
	name     string
	dir      string // configuration, log, and the lock that says we live
	lock     *os.File
	cluster  *lab.Cluster
	socket   string
	ask      *client.Client // of weir

	servers [reals]*process
	sorry   *process
	weir    *process
	load0   *load // the load that goes on from the killing of weir to its return
	talks   []*conversation
	logEnd  string
}

// build makes the cluster and starts everything, or leaves nothing.
func build(ctx context.Context, p *progress) (s *stage, err error) {
	s = &stage{progress: p, name: fmt.Sprintf("%s%d", prefix, os.Getpid())}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	p.begin("building a client, a director and three real servers")
	if s.exe, err = os.Executable(); err != nil {
		return s, err
	}
	if err = s.makeDir(); err != nil {
		return s, err
	}
	if s.cluster, err = lab.NewCluster(strings.TrimSuffix(prefix, "-"), reals, lab.WireOptions{}); err != nil {
		return s, err
	}
	if s.socket, err = client.SocketPathIn(s.cluster.Director.Path()); err != nil {
		return s, err
	}
	s.ask = client.New(s.socket)
	for i := range reals {
		if err = s.startServer(i); err != nil {
			return s, err
		}
	}
	if s.sorry, err = s.serve(s.cluster.Director, sorry); err != nil {
		return s, err
	}
	if err = s.startWeir(ctx); err != nil {
		return s, err
	}
	if err = s.allUp(ctx); err != nil {
		return s, fmt.Errorf("%w; the last lines of weir's log:\n%s", err, s.readLog())
	}
	p.done("the cluster stands, weir runs: %d services on %d real servers", len(services), reals)
	return s, nil
}

// makeDir makes the directory and holds a lock in it for as long as this
// process lives.
func (s *stage) makeDir() error {
	dir := filepath.Join(runDir, s.name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("%w; remove what an earlier demo left: weir demo --clean", err)
	}
	s.dir = dir
	var err error
	if s.lock, err = os.Create(filepath.Join(dir, "lock")); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", s.lock.Name(), err)
	}
	return os.WriteFile(s.config(), []byte(configuration()), 0o644)
}

func (s *stage) config() string { return filepath.Join(s.dir, "weir.yaml") }
func (s *stage) log() string    { return filepath.Join(s.dir, "weir.log") }

// run starts this program on h; what it says goes to a file of the directory.
func (s *stage) run(h *lab.Host, output string, args ...string) (*process, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, output), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return start(h, f, s.exe, args...)
}

func (s *stage) serve(h *lab.Host, name string) (*process, error) {
	args := []string{"demo", "--server", name}
	if name == realName(reals-1) {
		args = append(args, "--slow", slowness.String())
	}
	return s.run(h, name+".log", args...)
}

func (s *stage) startServer(i int) (err error) {
	s.servers[i], err = s.serve(s.cluster.Real[i], realName(i))
	return err
}

// startWeir starts the daemon and waits until it has a configuration.
func (s *stage) startWeir(ctx context.Context) (err error) {
	if s.weir, err = s.run(s.cluster.Director, "weir.log", "run", "-c", s.config()); err != nil {
		return err
	}
	pid := s.weir.cmd.Process.Pid
	return s.wait(ctx, "weir is ready", func() (bool, error) {
		if !s.weir.running() {
			return false, fmt.Errorf("weir has ended: %v\n%s", s.weir.err, s.readLog())
		}
		st, err := s.ask.Status(ctx)
		if errors.Is(err, client.ErrNotRunning) {
			return false, nil
		}
		return st.Configured && st.PID == pid, err
	})
}

// allUp waits until every real server of every service takes traffic.
func (s *stage) allUp(ctx context.Context) error {
	return s.wait(ctx, "all real servers are up", func() (bool, error) {
		st, err := s.ask.Status(ctx)
		return st.Up == len(services)*reals && st.Down == 0, err
	})
}

// wait looks again and again until it is so.
func (s *stage) wait(ctx context.Context, what string, is func() (bool, error)) error {
	const most, again = 10 * time.Second, 10 * time.Millisecond
	for end := time.Now().Add(most); ; {
		ok, err := is()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case ok || err != nil:
			return err
		case time.Now().After(end):
			return fmt.Errorf("it took more than %v until %s", most, what)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// readLog is the end of weir's log.
func (s *stage) readLog() string {
	const most = 20
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
