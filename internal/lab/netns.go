package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// runDir is where ip-netns(8) looks for named namespaces; ours lie there too,
// so that a person can enter them.
const runDir = "/run/netns"

// shareRunDir makes runDir a shared mount of its own, once, as ip-netns does:
// a namespace bound before somebody else does that could not be unmounted
// afterwards.
var shareRunDir = sync.OnceValue(func() error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := unix.Mount(runDir, runDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", runDir, err)
	}
	return unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
})

// newNamespace makes a network namespace and binds it to a name under runDir.
func newNamespace(name string) (path string, err error) {
	if err := shareRunDir(); err != nil {
		return "", err
	}
	path = filepath.Join(runDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return "", err
	}
	f.Close()
	done := make(chan error)
	go func() {
		// Never unlocked: the thread has left the machine's namespace and
		// must end with this goroutine.
		runtime.LockOSThread()
		done <- bindNew(path)
	}()
	if err := <-done; err != nil {
		os.Remove(path)
		return "", err
	}
	return path, nil
}

func bindNew(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("new network namespace: %w", err)
	}
	self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
	if err := unix.Mount(self, path, "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("name the network namespace %s: %w", path, err)
	}
	return nil
}

// dropNamespace takes the name away; the namespace ends with its last user.
func dropNamespace(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// inside runs fn with the calling thread in the namespace fd, and brings the
// thread back. Goroutines that fn starts are outside.
func inside(fd int, fn func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("own network namespace: %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		unix.Close(home)
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	// Deferred, because a test may leave fn by runtime.Goexit.
	defer func() {
		// A thread that cannot come back stays locked and dies with its
		// goroutine instead of serving others from the wrong network.
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		unix.Close(home)
	}()
	return fn()
}
