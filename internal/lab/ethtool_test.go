package lab_test

import (
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// The setting is read back from the kernel at both ends.
func TestNoOffload(t *testing.T) {
	l := labtest.New(t)
	a, b := labtest.Host(t, l, "a"), labtest.Host(t, l, "b")
	labtest.Must(t, l.Wire(lab.Port{Host: a, Name: "x"}, lab.Port{Host: b, Name: "y"}, lab.WireOptions{NoOffload: true}))
	for h, name := range map[*lab.Host]string{a: "x", b: "y"} {
		f, err := h.Offloads(name)
		labtest.Must(t, err)
		if got, want := strings.Join(f, " "), "gro"; got != want {
			t.Errorf("%s: offloads %q, want %q", name, got, want)
		}
	}
}
