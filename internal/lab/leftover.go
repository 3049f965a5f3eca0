package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NamespaceDir is where the namespaces of hosts lie, for nsenter(1).
const NamespaceDir = runDir

// Namespaces names those whose names begin with prefix, whoever made them.
func Namespaces(prefix string) (names []string, err error) {
	all, err := os.ReadDir(runDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// RemoveNamespace removes a host that another process has built and left.
func RemoveNamespace(name string) error {
	h := &Host{name: name, path: filepath.Join(runDir, name), fd: -1}
	fd, err := unix.Open(h.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	h.fd = fd
	// A name whose namespace was never bound has no network to take down.
	if link, err := netlink.NewHandleAt(netns.NsHandle(fd), unix.NETLINK_ROUTE); err == nil {
		h.link = link
	}
	return h.remove()
}
