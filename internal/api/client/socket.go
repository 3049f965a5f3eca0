package client

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const runDir = "/run/weir"

// SocketPath is where the weir of this network namespace listens. There is
// one weir for each namespace, so namespaces that share a file system must
// not share the path.
func SocketPath() string {
	self, _ := os.Readlink("/proc/self/ns/net")
	first, err := os.Readlink("/proc/1/ns/net")
	if err != nil && os.Geteuid() != 0 {
		first = self // hidden from the unprivileged, who cannot connect anyway
	}
	return socketPath(self, first)
}

// socketPath is the usual place if self is the first namespace of all. Where
// even root cannot see which one that is, the place tells the namespaces
// apart all the same.
func socketPath(self, first string) string {
	inode := strings.TrimSuffix(strings.TrimPrefix(self, "net:["), "]")
	if self == first || inode == "" {
		return filepath.Join(runDir, "weir.sock")
	}
	return filepath.Join(runDir, "netns-"+inode, "weir.sock")
}

// SocketPathIn is where the weir of another network namespace listens; it is
// named by its file, such as those in /run/netns.
func SocketPathIn(namespace string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(namespace, &st); err != nil {
		return "", fmt.Errorf("network namespace %s: %w", namespace, err)
	}
	first, _ := os.Readlink("/proc/1/ns/net") // hidden means another one
	return socketPath(fmt.Sprintf("net:[%d]", st.Ino), first), nil
}
