package ebpf

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// A counter's row in docs/packet.md begins with its name and its fate.
var verdictRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([a-z]+)")

// TestEveryVerdictIsInTheDocumentation holds docs/packet.md against the
// engine: a counter nobody explains is of no use at 3 a.m., and neither is an
// explanation of one that does not exist.
func TestEveryVerdictIsInTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../../docs/packet.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	fates := map[string]string{}
	for _, m := range verdictRow.FindAllSubmatch(page, -1) {
		rows = append(rows, string(m[1]))
		fates[string(m[1])] = string(m[2])
	}
	for n, v := range verdictNames {
		switch {
		case n == int(engineVerdictV_NONE):
		case v.Name == "" || v.Help == "":
			t.Errorf("verdict %d has no name or no help", n)
		case !slices.Contains(rows, v.Name):
			t.Errorf("%q has no row in docs/packet.md", v.Name)
		case fates[v.Name] != v.Fate || v.Drop != (v.Fate == lvs.Dropped):
			t.Errorf("%q is %s in docs/packet.md, and %s here (drop %v)", v.Name, fates[v.Name], v.Fate, v.Drop)
		}
	}
	for i, name := range rows {
		if slices.Contains(rows[:i], name) {
			t.Errorf("docs/packet.md: two rows for %q", name)
		}
		if !slices.ContainsFunc(verdictNames[:], func(v lvs.PacketVerdict) bool { return v.Name == name }) {
			t.Errorf("docs/packet.md: a row for %q, which is no verdict", name)
		}
	}
}
