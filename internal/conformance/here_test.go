package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/weir-lb/weir/internal/lab/labtest"
)

// notModelled is where it is written which scenario files the model does not
// know, and why.
var notModelled = filepath.Join("testdata", "not-modelled.txt")

// TestNotModelled: what the model does not know is written down, so that it
// cannot become more unseen.
func TestNotModelled(t *testing.T) {
	all, err := scenarios(".")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(map[string]string)
	files := make(map[string]bool)
	for _, s := range all {
		file, _, _ := strings.Cut(s.Name, "/")
		files[file] = true
		// A variant the model knows does not make up for one it does not.
		if why := modelled(s); why != "" && reasons[file] == "" {
			reasons[file] = why
		}
	}
	var out strings.Builder
	for _, file := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&out, "%s: %s\n", file, reasons[file])
	}
	if *update {
		labtest.Must(t, os.WriteFile(notModelled, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(notModelled)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")) {
		switch l[0] {
		case '+':
			t.Errorf("the model does not know %s; teach it, or write it down by -update", l[1:])
		case '-':
			t.Errorf("written down as not known to the model, and not so: %s", l[1:])
		}
	}
	t.Logf("the model does not know %d of %d files, or not all variants of them", len(reasons), len(files))
}

// TestOnThisKernel runs the scenarios on weir alone, on the kernel at hand. The
// tc and the XDP door must agree, and both with the model, where it knows the
// scenario.
func TestOnThisKernel(t *testing.T) {
	labtest.NeedRoot(t)
	pick := os.Getenv(only)
	if pick == "" {
		pick = "."
	}
	all, err := scenarios(pick)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, all)
}

// TestMadeUpOnThisKernel does the same with scenarios nobody wrote.
func TestMadeUpOnThisKernel(t *testing.T) {
	labtest.NeedRoot(t)
	if pick := os.Getenv(only); pick != "" && pick != "random" {
		return // others were picked
	}
	files := fstest.MapFS{}
	from := number(t, firstSeed, 1)
	for seed := from; seed < from+number(t, howMany, fewSeeds); seed++ {
		files[fmt.Sprintf("seed%06d.scenario", seed)] = &fstest.MapFile{Data: []byte(Random(uint64(seed)))}
	}
	all, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, all)
}

// agree holds the two doors against each other, and against the model.
func agree(t *testing.T, all []Scenario) {
	t.Helper()
	seen := here(t, all)
	// As in the guest, only what is there a second time is a difference.
	var again []Scenario
	for _, s := range all {
		if unlike(s, seen) != "" {
			again = append(again, s)
		}
	}
	if len(again) > 0 && len(again) <= len(all)/10+1 {
		maps.Copy(seen, here(t, again))
	}
	known := 0
	for _, s := range all {
		if modelled(s) == "" {
			known++
		}
		if found := unlike(s, seen); found != "" {
			t.Errorf("%s:\n%s", s.Name, found)
		}
	}
	t.Logf("%d scenarios, %d of them known to the model", len(all), known)
}

func unlike(s Scenario, seen map[string]Observation) string {
	tc, xdp := seen[s.Name+"@weir tc"], seen[s.Name+"@weir xdp"]
	found := Compare(s, tc, xdp)
	return found + misjudged(s, tc)
}

// here is what the bodies of weir show on this kernel.
func here(t *testing.T, all []Scenario) map[string]Observation {
	t.Helper()
	var out bytes.Buffer
	labtest.Must(t, observeOn(all, &out, weirs, 4, 0)) // nearly all time is waiting
	seen := make(map[string]Observation)
	for dec := json.NewDecoder(&out); ; {
		var o Observation
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return seen
		} else if err != nil {
			t.Fatal(err)
		}
		seen[o.Scenario+"@"+o.Body] = o
	}
}
