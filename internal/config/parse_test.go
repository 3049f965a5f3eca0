package config_test

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-lb/weir/internal/config"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// TestBroken reads files with many faults and wants each told with its line.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil || len(files) < 17 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a := readArchive(t, file)
			in := a.section("in.yaml")
			_, problems := config.Parse("in.yaml", []byte(in))
			if problems.Err() == nil {
				t.Error("the file is taken")
			}
			var told strings.Builder
			for _, p := range problems {
				told.WriteString(p.String() + "\n")
				if p.Place.File != "in.yaml" || p.Place.Line < 1 {
					t.Errorf("no place: %v", p)
				}
			}
			if *update {
				a.sections = [][2]string{{"in.yaml", in}, {"problems", told.String()}}
				a.write(t, file)
				return
			}
			if d := cmp.Diff(a.section("problems"), told.String()); d != "" {
				t.Errorf("problems (-want +have):\n%s", d)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	t.Run("too large", func(t *testing.T) {
		_, problems := config.Parse("f", make([]byte, config.MaxText+1))
		if err := problems.Err(); err == nil || err.Error() != "f: the file is larger than 16 MiB" {
			t.Errorf("have %v", err)
		}
	})
	t.Run("aliases that unfold", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("defaults:\n  check: &c {kind: http}\nservices:\n  - &s\n    listen: tcp 192.0.2.1:80\n    destinations: &d\n")
		for range 2000 {
			b.WriteString("      - {address: 10.0.0.1, check: *c}\n")
		}
		for range 2000 {
			b.WriteString("  - {listen: tcp 192.0.2.1:80, destinations: *d}\n")
		}
		_, problems := config.Parse("f", []byte(b.String()))
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "aliases of this file unfold") {
			t.Errorf("have %d problems, none of aliases", len(problems))
		}
	})
	t.Run("alias of itself", func(t *testing.T) {
		_, problems := config.Parse("f", []byte("services: &s\n  - destinations: *s\n"))
		if problems.Err() == nil {
			t.Error("taken")
		}
	})
}

func TestProblems(t *testing.T) {
	warning := config.Problem{Place: config.Place{File: "f", Line: 3}, Text: "hm", Warning: true}
	ps := config.Problems{warning}
	if err := ps.Err(); err != nil {
		t.Errorf("a warning counts as error: %v", err)
	}
	if have := ps[0].String(); have != "f:3: warning: hm" {
		t.Errorf("have %q", have)
	}
	ps.Errorf(config.Place{File: "f", Line: 2}, "no %d", 1)
	ps.Errorf(config.Place{File: "f"}, "whole")
	if err := ps.Sorted().Err(); err == nil || err.Error() != "f: whole\nf:2: no 1" {
		t.Errorf("have %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("services:\n  - listen: tcp 192.0.2.1:80\n    destinations: [10.0.0.1]\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("defaults: {check: {kind: http, receive: a}}\nservices: [{listen: udp [::1]:53, destinations: [{address: ::2, check: on}]}]"))
	f.Add([]byte("{{{{[[[["))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := config.Parse("f", text)
		for _, p := range problems {
			if p.Text == "" {
				t.Error("a problem without words")
			}
		}
		if problems.Err() == nil {
			written := config.Write(c)
			again, problems := config.Parse("f", written)
			if err := problems.Err(); err != nil {
				t.Errorf("what was written is refused: %v\n%s", err, written)
			}
			if d := cmp.Diff(withoutPlaces(c), withoutPlaces(again), comparable...); d != "" {
				t.Errorf("written and read again (-want +have):\n%s\n%s", d, written)
			}
		}
	})
}
