package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A Report is everything that was promised and seen.
type Report struct {
	OK       bool      `json:"ok"`
	Version  string    `json:"version"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Chapters []Row     `json:"chapters"`
}

// A Row is one chapter of it.
type Row struct {
	Chapter  string             `json:"chapter"`
	Promised string             `json:"promised"`
	Seen     string             `json:"seen"`
	OK       bool               `json:"ok"`
	Seconds  float64            `json:"seconds"`
	Numbers  map[string]float64 `json:"numbers,omitempty"`
}

func (r *Report) add(row Row) { r.Chapters = append(r.Chapters, row) }

// finish sums up. A report of nothing is no good report.
func (r *Report) finish(now time.Time) {
	r.Seconds = seconds(now.Sub(r.Began))
	r.OK = len(r.Chapters) > 0
	for _, c := range r.Chapters {
		r.OK = r.OK && c.OK
	}
}

func (r Report) print(o Options) error {
	if o.JSON {
		e := json.NewEncoder(o.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.table(o.Stdout)
}

// table prints the rows with their columns below each other.
func (r Report) table(w io.Writer) error {
	rows := [][]string{{"", "CHAPTER", "PROMISED", "SEEN"}}
	for _, c := range r.Chapters {
		rows = append(rows, []string{mark(c.OK), c.Chapter, c.Promised, c.Seen})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	b.WriteByte('\n')
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	fmt.Fprintf(&b, "\n%s\n", r.sum())
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) sum() string {
	bad := 0
	for _, c := range r.Chapters {
		if !c.OK {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Sprintf("%d of %d chapters FAILED, in %.0f s", bad, len(r.Chapters), r.Seconds)
	}
	return fmt.Sprintf("all %d chapters as promised, in %.0f s", len(r.Chapters), r.Seconds)
}

func mark(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAILED"
}

// A sight collects what a chapter sees, in words and in numbers, and whether
// it is what was promised.
type sight struct {
	words   []string
	wrong   bool
	numbers map[string]float64
}

// see notes something; ok tells whether it is as promised.
func (g *sight) see(ok bool, format string, args ...any) {
	words := fmt.Sprintf(format, args...)
	if !ok {
		g.wrong, words = true, words+" (!)"
	}
	g.words = append(g.words, words)
}

// number notes an amount for machines.
func (g *sight) number(name string, v float64) {
	if g.numbers == nil {
		g.numbers = map[string]float64{}
	}
	g.numbers[name] = v
}

// row is the sight as the outcome of a chapter; an error is never a promise.
func (g *sight) row(c chapter, err error, took time.Duration) Row {
	if err != nil {
		g.see(false, "%v", err)
	}
	return Row{Chapter: c.name, Promised: c.promise, Seen: strings.Join(g.words, ", "),
		OK: !g.wrong && len(g.words) > 0, Seconds: seconds(took), Numbers: g.numbers}
}

// seconds are rounded to what a person reads.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
