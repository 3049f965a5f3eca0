package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-lb/weir/internal/lab"
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

// removeSocket removes what a weir that was killed could not, and the
// directories it lay in if nothing else does.
func removeSocket(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
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
	name, pids := s.name, []int{}
	for _, p := range s.processes() {
		pids = append(pids, p.cmd.Process.Pid)
	}
	err := s.remove()
	if err == nil {
		left, leftErr := leftovers(name, pids)
		err = leftErr
		g.see(len(left) == 0, "%s", strings.Join(append(left, "all removed")[:max(1, len(left))], ", "))
		g.number("left", float64(len(left)))
	}
	row := g.row(c, err, time.Since(began))
	s.progress.row(row)
	return row
}

// leftovers names what exists of a demo that should be gone.
func leftovers(name string, pids []int) (left []string, err error) {
	namespaces, err := lab.Namespaces(name + ".")
	if err != nil {
		return nil, err
	}
	left = append(left, namespaces...)
	if dir := filepath.Join(runDir, name); exists(dir) {
		left = append(left, dir)
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	return left, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
