package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lab"
)

// directions say how to enter what was kept and how to be rid of it.
func (s *stage) directions() string {
	director, user, real := s.namespace("director"), s.namespace("client"), s.namespace("real2")
	return fmt.Sprintf(`
The cluster stands and weir runs. Look at it from the director:

  nsenter --net=%[1]s
  %[4]s status
  %[4]s services
  %[4]s connections --limit 20
  %[4]s events --follow

Change %[5]s there and say: %[4]s reload
Its log is %[6]s. From the client:

  nsenter --net=%[2]s curl http://%[7]v/ http://[%[8]v]/

Cut a real server off, watch the events, and connect it again:

  nsenter --net=%[3]s ip link set eth0 down
  nsenter --net=%[3]s ip link set eth0 up

Remove everything:

  %[4]s demo --clean
`, director, user, real, s.exe, filepath.Join(runDir, s.name, "weir.yaml"), filepath.Join(runDir, s.name, "weir.log"),
		lab.VirtualAddr, lab.VirtualAddr6)
}

// namespace is the path of a host's.
func (s *stage) namespace(host string) string {
	return filepath.Join(lab.NamespaceDir, fmt.Sprintf("%s.1-%s", s.name, host))
}

// Clean removes what demos have left that were kept, or killed. Those that
// are still playing are left alone.
func Clean(w io.Writer) error {
	if os.Geteuid() != 0 {
		return errRoot
	}
	names, err := left()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if playing(name) {
			fmt.Fprintf(w, "%s is still playing and stays\n", name)
			continue
		}
		if err := clean(name); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", name, err))
			continue
		}
		fmt.Fprintf(w, "%s is removed\n", name)
	}
	if len(names) == 0 {
		fmt.Fprintln(w, "no demo has left anything")
	}
	return errors.Join(errs...)
}

// left names the demos of which anything exists.
func left() (names []string, err error) {
	seen := map[string]bool{}
	add := func(name string) {
		if _, err := strconv.Atoi(strings.TrimPrefix(name, prefix)); err == nil && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(runDir, prefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		add(filepath.Base(d))
	}
	namespaces, err := lab.Namespaces(prefix)
	for _, n := range namespaces {
		name, _, _ := strings.Cut(n, ".")
		add(name)
	}
	return names, err
}

// playing tells whether the demo's own process lives: it holds the lock.
func playing(name string) bool {
	f, err := os.Open(filepath.Join(runDir, name, "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

func clean(name string) error {
	namespaces, err := lab.Namespaces(name + ".")
	errs := []error{err}
	for _, n := range namespaces {
		path := filepath.Join(lab.NamespaceDir, n)
		if strings.HasSuffix(n, "-director") {
			if socket, err := client.SocketPathIn(path); err == nil {
				defer removeSocket(socket)
			}
		}
		errs = append(errs, endProcesses(path), lab.RemoveNamespace(n))
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(runDir, name)))...)
}

// endProcesses ends the weirs and servers in a network namespace. Anything
// else, such as a shell somebody has entered with, is not ours.
func endProcesses(namespace string) error {
	var want, is syscall.Stat_t
	if err := syscall.Stat(namespace, &want); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		// A process that ends meanwhile has nothing to read.
		if syscall.Stat(dir+"/ns/net", &is) != nil || is.Ino != want.Ino || is.Dev != want.Dev {
			continue
		}
		exe, _ := os.Readlink(dir + "/exe")
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == filepath.Base(self) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}
