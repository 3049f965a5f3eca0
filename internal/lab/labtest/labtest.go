// Package labtest is the door through which tests enter the lab: it says
// honestly why a test cannot run here, and removes what a test built. It
// never ships.
package labtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lab"
)

// needed are the capabilities privileged tests use, by their kernel numbers.
var needed = []struct {
	name string
	bit  uint
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
	{"CAP_NET_RAW", unix.CAP_NET_RAW},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN},
	{"CAP_BPF", unix.CAP_BPF},
}

// NeedRoot skips a test that cannot have what it needs, naming what is
// missing. Where CI=true that is a failure: there, nothing may be skipped.
func NeedRoot(t testing.TB) {
	t.Helper()
	if lacking := missing(); lacking != "" {
		Need(t, fmt.Errorf("needs %s; run as root", lacking))
	}
}

// Need skips a test for which something is lacking, as the error says. Where
// CI=true that is a failure.
func Need(t testing.TB, lacking error) {
	t.Helper()
	if lacking == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v; CI=true allows no skipping", lacking)
	}
	t.Skip(lacking)
}

func missing() string {
	if os.Geteuid() != 0 {
		return "root"
	}
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return "to read its capabilities (" + err.Error() + ")"
	}
	var names []string
	for _, c := range needed {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

// New is lab.New for the time of a test.
func New(t testing.TB) *lab.Lab {
	t.Helper()
	NeedRoot(t)
	l, err := lab.New("wt")
	if err != nil {
		t.Fatal(err)
	}
	closing(t, l)
	return l
}

// NewCluster is lab.NewCluster for the time of a test.
func NewCluster(t testing.TB, reals int, o lab.WireOptions) *lab.Cluster {
	t.Helper()
	NeedRoot(t)
	c, err := lab.NewCluster("wt", reals, o)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, c.Lab)
	return c
}

func closing(t testing.TB, l *lab.Lab) {
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Host is lab.Host or the end of the test.
func Host(t testing.TB, l *lab.Lab, name string) *lab.Host {
	t.Helper()
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Must ends the test at the first error; it keeps the building of a network
// readable.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
