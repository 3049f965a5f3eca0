package cli

import (
	"strconv"
	"strings"
	"testing"
)

// TestTableOfManyPages: the last row may be the widest.
func TestTableOfManyPages(t *testing.T) {
	tb := &table{right: map[int]bool{1: true}}
	const rows = 3*pageRows + 7
	for i := range rows {
		tb.row("é"+strings.Repeat("x", i%7), strconv.Itoa(i*i), "")
	}
	tb.row("the widest of all", "7", "end")
	var out strings.Builder
	if err := tb.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != rows+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, l := range lines[:rows] {
		name, number := "é"+strings.Repeat("x", i%7), strconv.Itoa(i*i)
		if want := name + strings.Repeat(" ", 17+2+7-1-i%7-len(number)) + number; l != want {
			t.Fatalf("%d: %q, want %q", i, l, want)
		}
	}
	if want := "the widest of all        7  end"; lines[rows] != want {
		t.Errorf("%q, want %q", lines[rows], want)
	}
}
