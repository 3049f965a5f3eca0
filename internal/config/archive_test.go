package config_test

import (
	"os"
	"strings"
	"testing"
)

// An archive is a test case in one file: a comment, then sections that each
// begin with a line "-- name --" (the txtar format).
type archive struct {
	comment  string
	sections [][2]string // name, text
}

func readArchive(t testing.TB, file string) *archive {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{}
	for line := range strings.Lines(string(data)) {
		name, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "-- ")
		if name, end := strings.CutSuffix(name, " --"); ok && end {
			a.sections = append(a.sections, [2]string{name, ""})
		} else if n := len(a.sections); n > 0 {
			a.sections[n-1][1] += line
		} else {
			a.comment += line
		}
	}
	return a
}

func (a *archive) section(name string) string {
	for _, s := range a.sections {
		if s[0] == name {
			return s[1]
		}
	}
	return ""
}

func (a *archive) write(t testing.TB, file string) {
	t.Helper()
	text := a.comment
	for _, s := range a.sections {
		text += "-- " + s[0] + " --\n" + s[1]
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
