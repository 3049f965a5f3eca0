package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/weir-lb/weir/internal/guest"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// How many made-up scenarios are run, and the seed of the first.
// RANDOM_SCENARIOS=500 RANDOM_SEED=1000 make conformance ONLY=random
const (
	howMany   = "RANDOM_SCENARIOS"
	firstSeed = "RANDOM_SEED"
	fewSeeds  = 40
	shrunken  = 2 // of those that disagree; it takes a dozen guests for each
)

func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// TestRandomScenarios holds made-up scenarios against ip_vs. One that
// disagrees is made as small as it gets, and printed: put it into testdata.
func TestRandomScenarios(t *testing.T) {
	labtest.Need(t, guest.Lacking())
	if pick := os.Getenv(only); pick != "" && pick != "random" {
		return // others were picked
	}
	from := number(t, firstSeed, 1)
	texts := map[string]string{}
	for seed := from; seed < from+number(t, howMany, fewSeeds); seed++ {
		texts[fmt.Sprintf("seed%06d", seed)] = Random(uint64(seed))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	found := disagreements(ctx, t, texts)
	if len(found) > 0 {
		// As with those that are written down: the machine is emulated.
		again := map[string]string{}
		for name := range found {
			again[name] = texts[name]
		}
		found = disagreements(ctx, t, again)
	}
	t.Logf("%d of %d made-up scenarios agree", len(texts)-len(found), len(texts))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%s differs:\n%s\n%s", name, texts[name], found[name]) // before it is made smaller, which takes its time
	}
	for i, name := range slices.Sorted(maps.Keys(found)) {
		if i >= shrunken {
			t.Errorf("%s differs as well", name)
			continue
		}
		t.Errorf("%s differs; at its smallest:\n%s", name, smallest(ctx, t, texts[name]))
	}
}

// smallest is the shrunken text and its difference.
func smallest(ctx context.Context, t *testing.T, text string) string {
	t.Helper()
	small, err := shrink(text, func(candidates []string) ([]bool, error) {
		texts := map[string]string{}
		for i, c := range candidates {
			texts[fmt.Sprintf("candidate%03d", i)] = c
		}
		found := disagreements(ctx, t, texts)
		still := make([]bool, len(candidates))
		for i := range candidates {
			d := found[fmt.Sprintf("candidate%03d", i)]
			still[i] = d != "" && !strings.Contains(d, troubled)
		}
		return still, ctx.Err()
	})
	if err != nil {
		return fmt.Sprintf("%s\n(not made smaller: %v)", text, err)
	}
	return small + "\n" + disagreements(ctx, t, map[string]string{"smallest": small})["smallest"]
}

// troubled marks a scenario that could not be carried out, such as one that
// edits what it did not add.
const troubled = "could not be carried out: "

// disagreements runs scenarios, by name, in one guest, and tells how those
// that disagree differ.
func disagreements(ctx context.Context, t *testing.T, texts map[string]string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	files := fstest.MapFS{}
	for name, text := range texts {
		files[name+".scenario"] = &fstest.MapFile{Data: []byte(text)}
		if err := os.WriteFile(filepath.Join(dir, name+".scenario"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	seen := askAbout(ctx, t, ".", dir)
	found := map[string]string{}
	for _, s := range all {
		name, _, _ := strings.Cut(s.Name, "/")
		o, err := observations(s, seen)
		if err != nil {
			found[name] = troubled + err.Error()
			continue
		}
		if trouble := o[0].Trouble + o[1].Trouble + o[2].Trouble; trouble != "" {
			found[name] = troubled + trouble
		} else if d := differences(s, o[0], o[1:]...); d != "" {
			found[name] = d
		}
	}
	return found
}

// Every seed makes a scenario that can be read, the same one each time.
func TestRandomIsReadable(t *testing.T) {
	seen := map[string]bool{}
	words := ""
	for seed := range uint64(3000) {
		text := Random(seed)
		if text != Random(seed) {
			t.Fatalf("seed %d makes two scenarios", seed)
		}
		all, err := Load(fstest.MapFS{"a.scenario": {Data: []byte(text)}})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		table := table{}
		for _, st := range all[0].Steps {
			if st.Command != "" {
				if _, err := table.do(strings.Fields(st.Command)); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, text)
				}
			}
		}
		seen[strings.SplitN(text, "\n", 2)[1]] = true
		words += text
	}
	if len(seen) < 2990 {
		t.Errorf("only %d of 3000 scenarios are different ones", len(seen))
	}
	for _, want := range []string{"-s lblcr", "-b mh-port", "-p 30", "-M 255", " -o", "--tun-type gre --tun-csum", "-x ", "-d -t", "-w 0", "udp data", "rs2:80 > client", "ttl=1\n", "look\n", "stats\n"} {
		if !strings.Contains(words, want) {
			t.Errorf("no scenario has %q", want)
		}
	}
}

// shrink finds the three lines that matter among forty, with few questions.
func TestShrink(t *testing.T) {
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	asked := 0
	small, err := shrink(text.String(), func(texts []string) ([]bool, error) {
		asked++
		var still []bool
		for _, s := range texts {
			still = append(still, strings.Contains(s, "line 7\n") && strings.Contains(s, "line 8\n") && strings.Contains(s, "line 39\n"))
		}
		return still, nil
	})
	if err != nil || small != "line 7\nline 8\nline 39\n" {
		t.Errorf("%v, %q", err, small)
	}
	if asked > 30 {
		t.Errorf("the guest was asked %d times", asked)
	}
}
