package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// processes are all that was started and not given up.
func (s *stage) processes() (all []*process) {
	for _, p := range append(s.servers[:], s.sorry, s.weir) {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// remove takes away whatever exists of the stage. A second time it does
// nothing.
func (s *stage) remove() error {
	s.hangUp()
	for _, p := range s.processes() {
		p.end(3 * time.Second)
	}
	s.servers, s.sorry, s.weir = [reals]*process{}, nil, nil
	var errs []error
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close(), removeSocket(s.socket))
		s.cluster = nil
	}
	if s.dir != "" {
		s.logEnd = s.readLog()
		errs = append(errs, os.RemoveAll(s.dir))
		s.dir = ""
	}
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
	return errors.Join(errs...)
}

// leave lets everything stand and go on.
func (s *stage) leave() {
	s.hangUp()
	s.logEnd = s.readLog()
	s.servers, s.sorry, s.weir, s.cluster, s.dir = [reals]*process{}, nil, nil, nil, ""
}

// removeSocket removes what a weir that was killed could not: its socket, with
// the notes and the history beside it, and the directories they lay in if
// nothing else does.
func removeSocket(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, beside := range []string{"changes", "history"} {
		if err := os.RemoveAll(filepath.Join(filepath.Dir(path), beside)); err != nil {
			return err
		}
	}
	_ = os.Remove(filepath.Dir(path)) // refused while anything is in it
	_ = os.Remove(filepath.Dir(filepath.Dir(path)))
	return nil
}

// cleanUp is the last chapter: nothing is left.
func (s *stage) cleanUp() Row {
	c := chapter{name: "leaving", promise: "no process, namespace or file stays"}
	began := time.Now()
	s.progress.begin(c.name)
	var g sight
	made := s.traces()
	err := s.remove()
	if err == nil {
		left := made.remaining()
		g.number("made", float64(made.amount()))
		g.number("left", float64(len(left)))
		g.see(len(left) == 0, "%s", strings.Join(append([]string{fmt.Sprintf("%d of %d left", len(left), made.amount())}, left...), " "))
	}
	row := g.row(c, err, time.Since(began))
	s.progress.row(row)
	return row
}

// traces are what a demo would leave if it did not tidy up.
type traces struct {
	files []string
	pids  []int
}

// traces lists what exists, as found and not as named, so that a name that is
// put together in a wrong way does not hide what is left under the right one.
func (s *stage) traces() (t traces) {
	t.files = []string{s.dir, s.socket}
	for _, h := range append(s.cluster.Real, s.cluster.Client, s.cluster.Director, s.cluster.Switch) {
		t.files = append(t.files, h.Path())
	}
	for _, p := range s.processes() {
		t.pids = append(t.pids, p.cmd.Process.Pid)
	}
	return t
}

func (t traces) amount() int { return len(t.files) + len(t.pids) }

// remaining names those that still exist.
func (t traces) remaining() (left []string) {
	for _, f := range t.files {
		if exists(f) {
			left = append(left, f)
		}
	}
	for _, pid := range t.pids {
		if syscall.Kill(pid, 0) == nil {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	return left
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
