package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Series is what was measured of one kind of thing.
type Series struct {
	Name   string  `json:"name"` // of its plot, too
	Title  string  `json:"title"`
	Method string  `json:"method"`
	Unit   string  `json:"unit"`
	Base   string  `json:"base"`          // what ratios are to; empty: there are none
	Net    bool    `json:"net"`           // the base is part of what was measured, and taken off
	Axis   string  `json:"axis"`          // what the columns are; empty: names
	Run    string  `json:"run,omitempty"` // the run it is of: date, weir, how
	On     string  `json:"on,omitempty"`  // the machine
	Values []Value `json:"values"`
}

// A Value is one figure of a series, with what it is compared to.
type Value struct {
	Row    string  `json:"row"`
	Column string  `json:"column"`
	Size   float64 `json:"size,omitempty"` // what the column means, where it is a number
	Figure
	Base Figure `json:"base,omitzero"`
}

// Ratio is a value against its base.
func (v Value) Ratio() float64 {
	if v.Base.Median == 0 {
		return 0
	}
	return v.Median / v.Base.Median
}

// Clear is a value without its base.
func (v Value) Clear() float64 { return v.Median - v.Base.Median }

// rows and columns are in the order they were measured in.
func (s Series) rows() []string    { return s.names(func(v Value) string { return v.Row }) }
func (s Series) columns() []string { return s.names(func(v Value) string { return v.Column }) }

func (s Series) names(of func(Value) string) (names []string) {
	for _, v := range s.Values {
		if n := of(v); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func (s Series) at(row, column string) (Value, bool) {
	i := slices.IndexFunc(s.Values, func(v Value) bool { return v.Row == row && v.Column == column })
	if i < 0 {
		return Value{}, false
	}
	return s.Values[i], true
}

// cell says a value in a table.
func (s Series) cell(v Value) string {
	spread := fmt.Sprintf(" ± %.0f %%", 100*v.Spread())
	if v.Low == v.High {
		spread = "" // tried once, or no matter of time
	}
	switch {
	case s.Net:
		return fmt.Sprintf("%s (%s%s, %.2f ×)", short(v.Clear()), short(v.Median), spread, v.Ratio())
	case v.Base.Median != 0:
		return fmt.Sprintf("%s%s, %.2f ×", short(v.Median), spread, v.Ratio())
	}
	return short(v.Median) + spread
}

// head says what a cell holds.
func (s Series) head() string {
	switch {
	case s.Net:
		return fmt.Sprintf("%s beyond %s (with it ± spread, ratio to it)", s.Unit, s.Base)
	case s.Base != "":
		return fmt.Sprintf("%s ± spread, ratio to %s", s.Unit, s.Base)
	}
	return s.Unit
}

// short is a number with three digits that say something.
func short(x float64) string {
	if x == 0 {
		return "0"
	}
	if math.Abs(x) < 100 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	unit := math.Pow(10, max(0, math.Floor(math.Log10(math.Abs(x)))-2))
	if math.Abs(x) < 10_000 {
		unit = 1
	}
	return grouped(int64(math.Round(x/unit) * unit))
}

// grouped writes a whole number with its thousands apart.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// grid is a series as a table of text, its heads first.
func (s Series) grid() [][]string {
	columns := s.columns()
	lines := [][]string{append([]string{s.Axis}, columns...)}
	for _, r := range s.rows() {
		line := []string{r}
		for _, c := range columns {
			text := "–"
			if v, ok := s.at(r, c); ok {
				text = s.cell(v)
			}
			line = append(line, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// Text is a series for people at a terminal.
func (s Series) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", s.Title, s.head())
	grid := s.grid()
	wide := make([]int, len(grid[0]))
	for _, line := range grid {
		for i, cell := range line {
			wide[i] = max(wide[i], len([]rune(cell)))
		}
	}
	for _, line := range grid {
		for i, cell := range line {
			pad := strings.Repeat(" ", wide[i]-len([]rune(cell)))
			if i == 0 {
				fmt.Fprint(&b, cell, pad)
			} else {
				fmt.Fprint(&b, "  ", pad, cell)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Markdown is a series for a page.
func (s Series) Markdown() string {
	var b strings.Builder
	for i, line := range s.grid() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(line)-1))
		}
	}
	return b.String()
}
