package all

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
)

// TestExamples: every file in docs/examples is taken, and means the same after
// a conversion.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../docs/examples/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		takes(t, filepath.Base(file), text)
	}
}

func takes(t *testing.T, name string, text []byte) {
	t.Helper()
	c, problems := Wish(name, text, "", dialect.Names{})
	if err := problems.Err(); err != nil {
		t.Errorf("refused:\n%v", err)
	}
	if len(c.Services) == 0 {
		t.Errorf("%s has no services", name)
	}
	written := config.Write(c)
	again, problems := Wish("converted "+name, written, "", dialect.Names{})
	if err := problems.Err(); err != nil {
		t.Errorf("the conversion is refused:\n%v", err)
	}
	if string(config.Write(again)) != string(written) {
		t.Errorf("%s means something else after a conversion", name)
	}
}

// TestManualExamples: what the manual page shows can be used as it stands.
func TestManualExamples(t *testing.T) {
	page, err := os.ReadFile("../../../docs/man/weir.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), ".Bd -literal -offset indent\n")
	if len(parts) < 4 {
		t.Fatalf("only %d examples", len(parts)-1)
	}
	for _, part := range parts[1:] {
		example, _, _ := strings.Cut(part, ".Ed\n")
		_, problems := Read("weir.yaml.5", []byte(example), "", dialect.Names{})
		if len(problems) != 0 {
			t.Errorf("%v", problems)
		}
		takes(t, "weir.yaml.5", []byte(example))
	}
}

// TestGuide: the example of the guides means the same in both of its forms,
// and only the one the original refuses is warned of.
func TestGuide(t *testing.T) {
	var written [2]string
	for i, file := range []string{"guide.cf", "guide-as-printed.cf"} {
		text, err := os.ReadFile("../../../docs/examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := Read(file, text, "", dialect.Names{})
		if len(problems) != i {
			t.Errorf("%s: want %d problems, have %v", file, i, problems)
		}
		written[i] = string(config.Write(c))
	}
	if written[0] != written[1] {
		t.Errorf("they differ:\n%s\n%s", written[0], written[1])
	}
}
