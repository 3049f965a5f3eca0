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
	pages  []*page
	widths []int        // of the columns
	right  map[int]bool // columns of numbers
	colour bool
}

// A page is some rows of a table, as one text: those of 100,000 rows are slow to
// make and to collect as strings, and slow to copy in a list that grows.
type page struct {
	text  []byte // the cells, one behind the other
	cells []cell
	rows  []int // how many cells each has
}

const pageRows = 1024

// A cell is how long a cell is: in text, and in what people see.
type cell struct{ size, width int32 }

func (t *table) row(cells ...string) {
	p := t.page(len(cells))
	p.rows = append(p.rows, len(cells))
	for i, c := range cells {
		width := utf8.RuneCountInString(c)
		p.text, p.cells = append(p.text, c...), append(p.cells, cell{int32(len(c)), int32(width)})
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], width)
	}
}

// page has room for a row of so many columns.
func (t *table) page(columns int) *page {
	if n := len(t.pages); n == 0 || len(t.pages[n-1].rows) == pageRows {
		p := &page{make([]byte, 0, 64*pageRows), make([]cell, 0, columns*pageRows), make([]int, 0, pageRows)}
		t.pages = append(t.pages, p)
	}
	return t.pages[len(t.pages)-1]
}

func (t *table) print(w io.Writer) error {
	right := make([]bool, len(t.widths)) // asked for each cell
	for i := range right {
		right[i] = t.right[i]
	}
	out := bufio.NewWriterSize(w, 1<<16) // a large table is not a call for each line
	for _, p := range t.pages {
		text, cells := p.text, p.cells
		for _, n := range p.rows {
			text, cells = t.line(out, text, cells[:n], right), cells[n:]
		}
	}
	return out.Flush()
}

// line writes the row at the head of text without spaces at its end, and gives
// the text behind it. An error stays with out.
func (t *table) line(out *bufio.Writer, text []byte, cells []cell, right []bool) []byte {
	gap := 0 // before the next cell, if there is one
	for i, c := range cells {
		pad := t.widths[i] - int(c.width)
		if right[i] {
			gap, pad = gap+pad, 0
		}
		if c.size > 0 {
			blank(out, gap)
			t.write(out, text[:c.size], !right[i])
			gap = 0
		}
		gap += pad + 2
		text = text[c.size:]
	}
	_ = out.WriteByte('\n')
	return text
}

// write writes a cell; words of health in colour.
func (t *table) write(out *bufio.Writer, c []byte, words bool) {
	if t.colour && words {
		_, _ = out.WriteString(paint(string(c)))
		return
	}
	_, _ = out.Write(c)
}

func blank(out *bufio.Writer, n int) {
	const some = "                                "
	for ; n > 0; n -= len(some) {
		_, _ = out.WriteString(some[:min(n, len(some))])
	}
}

// paint colours the words of health.
func paint(c string) string {
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
