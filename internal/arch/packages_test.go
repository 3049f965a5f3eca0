package arch

import (
	"os"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/guest"
)

// What the guest is made of must be on the list that make test installs.
func TestGuestPackagesAreInstalled(t *testing.T) {
	script, err := os.ReadFile(root + "/tools/debian-packages")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(script), "packages=(")
	list, _, _ = strings.Cut(list, "\n)")
	listed := map[string]bool{}
	for line := range strings.Lines(list) {
		words, _, _ := strings.Cut(line, "#")
		for _, w := range strings.Fields(words) {
			listed[w] = true
		}
	}
	for _, p := range guest.Packages {
		if !listed[p] {
			t.Errorf("tools/debian-packages does not install %s", p)
		}
	}
}
