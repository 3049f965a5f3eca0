package ipvs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A space is a network namespace, to be entered again by whatever thread
// happens to run: what stands under /proc/net and /proc/sys/net is that of the
// thread that looks.
type space struct {
	ns *os.File
	id string // tells it from every other one, also of earlier boots
}

// here is the namespace of the calling thread.
func here() (*space, error) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find the network namespace: %w", err)
	}
	id, err := identity()
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return &space{ns, id}, nil
}

// identity is made of the boot and of the kernel's cookie, a number it gives
// to no other namespace of that boot.
func identity() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("find the network namespace: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("find the network namespace: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return "", fmt.Errorf("find the network namespace: %w", err)
	}
	return fmt.Sprintf("%s/%d", strings.TrimSpace(string(boot)), cookie), nil
}

// in runs do inside the namespace. In an ordinary weir every thread is there
// already; else a thread is sent, and not used for anything afterwards.
func (s *space) in(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		at, err := s.entered()
		if err != nil {
			done <- err // the thread ends with the goroutine, wherever it is
			return
		}
		done <- do()
		if at {
			runtime.UnlockOSThread()
		}
	}()
	return <-done
}

// entered makes sure that the thread is inside, and tells whether it was.
func (s *space) entered() (was bool, err error) {
	var mine, want unix.Stat_t
	if err := errors.Join(unix.Stat("/proc/thread-self/ns/net", &mine), unix.Fstat(int(s.ns.Fd()), &want)); err != nil {
		return false, fmt.Errorf("find the network namespace: %w", err)
	}
	if mine.Dev == want.Dev && mine.Ino == want.Ino {
		return true, nil
	}
	if err := unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return false, fmt.Errorf("enter the network namespace: %w", err)
	}
	return false, nil
}

// open opens a file of the namespace: /proc/net/… as net/….
func (s *space) open(name string, flags int) (f *os.File, err error) {
	if err := s.in(func() (err error) {
		f, err = os.OpenFile("/proc/thread-self/"+name, flags, 0)
		return err
	}); err != nil {
		return nil, err
	}
	return f, nil
}

func (s *space) close() error { return s.ns.Close() }
