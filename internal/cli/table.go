package cli

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// A table prints rows with columns that stand below each other.
type table struct {
	rows   [][]string
	right  map[int]bool // columns of numbers
	colour bool
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) error {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	out := bufio.NewWriterSize(w, 1<<16) // a large table is not a call for each line
	for _, r := range t.rows {
		t.line(out, r, widths)
	}
	return out.Flush()
}

// line writes a row without spaces at its end. An error stays with out.
func (t *table) line(out *bufio.Writer, r []string, widths []int) {
	gap := 0 // before the next cell, if there is one
	for i, c := range r {
		pad := widths[i] - utf8.RuneCountInString(c)
		if t.right[i] {
			gap, pad = gap+pad, 0
		} else {
			c = t.paint(c)
		}
		if c != "" {
			blank(out, gap)
			_, _ = out.WriteString(c)
			gap = 0
		}
		gap += pad + 2
	}
	_ = out.WriteByte('\n')
}

func blank(out *bufio.Writer, n int) {
	const some = "                                "
	for ; n > 0; n -= len(some) {
		_, _ = out.WriteString(some[:min(n, len(some))])
	}
}

// paint colours the words of health.
func (t *table) paint(c string) string {
	if !t.colour {
		return c
	}
	switch c {
	case "up", "ok":
		return "\x1b[32m" + c + "\x1b[0m"
	case "down", "wrong":
		return "\x1b[31m" + c + "\x1b[0m"
	case "unchecked", "fallback", "look":
		return "\x1b[33m" + c + "\x1b[0m"
	}
	return c
}

// colour tells whether people want colours: on a terminal that has not been
// told otherwise (no-color.org).
func (c *command) colour() bool {
	return c.Terminal && c.Getenv("NO_COLOR") == "" && c.Getenv("TERM") != "dumb"
}

// amount is n in at most four digits and a letter, as ipvsadm shortens it.
func amount(n uint64) string {
	for _, unit := range []string{"", "K", "M", "G", "T"} {
		if n < 10000 {
			return strconv.FormatUint(n, 10) + unit
		}
		n /= 1000
	}
	return fmt.Sprintf("%dP", n)
}
