package client

import (
	"os"
	"path/filepath"
	"strings"
)

const runDir = "/run/weir"

// SocketPath is where the weir of this network namespace listens. There is
// one weir for each namespace, so namespaces that share a file system must
// not share the path.
func SocketPath() string {
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return socketPath("", "")
	}
	first, err := os.Readlink("/proc/1/ns/net")
	if err != nil {
		first = self // not to be seen without privileges: the usual place
	}
	return socketPath(self, first)
}

func socketPath(self, first string) string {
	if self == first {
		return filepath.Join(runDir, "weir.sock")
	}
	inode := strings.TrimSuffix(strings.TrimPrefix(self, "net:["), "]")
	return filepath.Join(runDir, "netns-"+inode, "weir.sock")
}
