package conformance

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

//go:embed testdata
var testdata embed.FS

// inGuest is set where this program is to be the guest's part of the test:
// the scenarios to run, as a regular expression.
const inGuest = "WEIR_CONFORMANCE_GUEST"

// elsewhere is where the guest finds scenarios that are not in this program.
const elsewhere = "WEIR_CONFORMANCE_FILES"

// only picks scenarios by name: WEIR_CONFORMANCE='e4' go test …
const only = "WEIR_CONFORMANCE"

var update = flag.Bool("update", false, "write down how weir differs where it does so on purpose")

func TestMain(m *testing.M) {
	if pick := os.Getenv(inGuest); pick != "" {
		if err := observeInGuest(pick); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func observeInGuest(pick string) error {
	all, err := scenarios(pick)
	if dir := os.Getenv(elsewhere); dir != "" {
		all, err = picked(os.DirFS(dir), pick)
	}
	if err != nil {
		return err
	}
	return Observe(all, os.Stdout)
}

func scenarios(pick string) ([]Scenario, error) {
	dir, err := fs.Sub(testdata, "testdata")
	if err != nil {
		return nil, err
	}
	return picked(dir, pick)
}

func picked(dir fs.FS, pick string) (picked []Scenario, err error) {
	expr, err := regexp.Compile(pick)
	if err != nil {
		return nil, err
	}
	all, err := Load(dir)
	for _, s := range all {
		if expr.MatchString(s.Name) {
			picked = append(picked, s)
		}
	}
	return picked, err
}

// TestAgainstIPVS boots the guest, has it run every scenario on ip_vs and on
// weir, and compares.
func TestAgainstIPVS(t *testing.T) {
	labtest.Need(t, guest.Lacking())
	pick := os.Getenv(only)
	if pick == "" {
		pick = "."
	}
	all, err := scenarios(pick)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 && pick != "random" {
		t.Fatalf("no scenario is called %s", pick)
	}
	if len(all) == 0 {
		return // made-up ones were asked for
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	seen := ask(ctx, t, pick)
	// The emulated machine shares its processors with whatever else runs: a
	// packet may come a moment after nobody waits for it any more. A
	// difference of behaviour is there the second time too.
	if again := doubtful(all, seen); len(again) > 0 && len(again) <= len(all)/10+1 {
		t.Logf("asking a second time: %s", strings.Join(again, ", "))
		for name, o := range ask(ctx, t, "^("+strings.Join(quoted(again), "|")+")$") {
			seen[name] = o
		}
	}
	agreed := 0
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			o, err := observations(s, seen)
			if err != nil {
				t.Fatal(err)
			}
			judge(t, s, o[0], o[1:]...)
			if !t.Failed() {
				agreed++
			}
		})
	}
	t.Logf("%d of %d scenarios are as they should be", agreed, len(all))
}

// observations are what one scenario showed: ip_vs first, then weir.
func observations(s Scenario, seen map[string]Observation) (o []Observation, err error) {
	for _, body := range []string{"ip_vs", "weir tc", "weir xdp"} {
		one, ok := seen[s.Name+"@"+body]
		if !ok {
			return nil, fmt.Errorf("the guest's %s did not get so far", body)
		}
		o = append(o, one)
	}
	return o, nil
}

// doubtful names the scenarios that showed something else than they should.
func doubtful(all []Scenario, seen map[string]Observation) (names []string) {
	for _, s := range all {
		o, err := observations(s, seen)
		if err == nil {
			found := differences(s, o[0], o[1:]...)
			want, _ := os.ReadFile(differsFile(s)) // none: nothing may differ
			if found == string(want) {
				continue
			}
		}
		names = append(names, s.Name)
	}
	return names
}

func quoted(names []string) (out []string) {
	for _, n := range names {
		out = append(out, regexp.QuoteMeta(n))
	}
	return out
}

func differences(s Scenario, truth Observation, bodies ...Observation) string {
	var found strings.Builder
	for _, b := range bodies {
		found.WriteString(Compare(s, truth, b))
	}
	found.WriteString(misjudged(s, truth)) // the model must know ip_vs, not weir
	return found.String()
}

// differsFile is where a difference on purpose is written down.
func differsFile(s Scenario) string {
	return filepath.Join("testdata", "differs", strings.NewReplacer("/", "_", ",", "_").Replace(s.Name)+".txt")
}

// ask runs the guest's part and collects what it saw.
func ask(ctx context.Context, t *testing.T, pick string) map[string]Observation {
	t.Helper()
	return askAbout(ctx, t, pick, "")
}

// askAbout runs the scenarios in dir instead, if one is named.
func askAbout(ctx context.Context, t *testing.T, pick, dir string) map[string]Observation {
	t.Helper()
	program, err := guest.BuildTest(ctx, ".", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	m := guest.Machine{Cache: "../../.cache/guest", Memory: 1536, CPUs: 2, Files: []guest.File{{From: program, To: "oracle", Mode: 0o755}}}
	script := fmt.Sprintf("export %s='%s'; ./oracle", inGuest, pick)
	if dir != "" {
		found, err := filepath.Glob(filepath.Join(dir, "*.scenario"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			m.Files = append(m.Files, guest.File{From: f, To: "made-up/" + filepath.Base(f), Mode: 0o644})
		}
		script = fmt.Sprintf("export %s=$PWD/made-up; %s", elsewhere, script)
	}
	code, err := m.Run(ctx, script, &out)
	if err != nil {
		t.Errorf("the guest: %v", err)
	}
	seen := make(map[string]Observation)
	for line := range strings.Lines(out.String()) {
		var o Observation
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &o) != nil {
			t.Logf("guest: %s", strings.TrimSpace(line))
			continue
		}
		seen[o.Scenario+"@"+o.Body] = o
	}
	if code != 0 {
		t.Errorf("the guest's part ended with %d", code)
	}
	return seen
}

// judge compares, and holds a difference on purpose to what was written down.
func judge(t *testing.T, s Scenario, truth Observation, bodies ...Observation) {
	t.Helper()
	found := differences(s, truth, bodies...)
	if s.Differs == "" {
		if found != "" {
			t.Errorf("they differ:\n%s", found)
		}
		return
	}
	documented(t, s.Differs)
	name := differsFile(s)
	if *update && found != "" {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(found), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v\n%s", err, found)
	}
	if found == "" {
		t.Errorf("they agree; take `differs` out of the scenario, and the sentence out of docs/differences.md")
	} else if found != string(want) {
		t.Errorf("they differ otherwise than is written down:\n%s\nwritten down:\n%s", found, want)
	}
}

// documented asks that the reader of the documentation is told.
func documented(t *testing.T, sentence string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(doc)), " "), sentence) {
		t.Errorf("docs/differences.md does not say: %s", sentence)
	}
}
