package bench

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Plots are drawn here: a series over numbers as lines on logarithmic axes,
// one over names as bars. Both say their unit and hold their own colours.

const (
	plotWidth = 860
	plotLeft  = 70
	plotRight = 560 // the legend begins here
	lineTop   = 40
	lineLow   = 420
)

var colours = []string{"#1b6ca8", "#c8553d", "#3a7d44", "#8a4f9e", "#c99a2e", "#4aa3a2", "#7a5c45", "#d1495b", "#555b6e", "#92b341", "#2f4858", "#e07a5f"}

func colour(i int) string { return colours[i%len(colours)] }

// Plot is a series as an SVG picture.
func (s Series) Plot() string {
	if s.numbers() {
		return s.lines()
	}
	return s.bars()
}

func (s Series) numbers() bool {
	for _, v := range s.Values {
		if v.Size == 0 {
			return false
		}
	}
	return s.Axis != ""
}

// shown is what a plot shows of a value. Where a base is no part of it, columns
// may have units of their own: then it is the ratio.
func (s Series) shown(v Value) float64 {
	switch {
	case s.Net:
		return v.Clear()
	case v.Base.Median != 0:
		return v.Ratio()
	}
	return v.Median
}

// shownUnit says what a plot's numbers are.
func (s Series) shownUnit() string {
	switch {
	case s.Net:
		return s.Unit + " beyond " + s.Base
	case s.Base != "":
		return "ratio to " + s.Base
	}
	return s.Unit
}

// A canvas is a picture being drawn.
type canvas struct{ strings.Builder }

func (c *canvas) begin(height int, title string) {
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, height)
	fmt.Fprintf(c, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	c.text(plotLeft, 22, "start", title)
}

func (c *canvas) text(x, y float64, anchor, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="#222222">`, x, y, anchor)
	_ = xml.EscapeText(c, []byte(s)) // a Builder takes everything
	fmt.Fprintln(c, "</text>")
}

func (c *canvas) line(x1, y1, x2, y2 float64, stroke string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, stroke)
}

// A scale puts numbers on an axis, by their logarithms.
type scale struct{ low, high, from, to float64 }

func (a scale) place(x float64) float64 {
	x = math.Log10(max(x, 1e-9))
	return a.from + (x-a.low)/max(a.high-a.low, 1e-9)*(a.to-a.from)
}

// decades are the powers of ten on an axis.
func (a scale) decades() (all []float64) {
	for d := math.Ceil(a.low); d <= math.Floor(a.high); d++ {
		all = append(all, math.Pow(10, d))
	}
	return all
}

func (s Series) scales() (x, y scale) {
	x = scale{math.Inf(1), math.Inf(-1), plotLeft, plotRight - 20}
	y = scale{math.Inf(1), math.Inf(-1), lineLow, lineTop}
	for _, v := range s.Values {
		x.low, x.high = min(x.low, math.Log10(v.Size)), max(x.high, math.Log10(v.Size))
		at := math.Log10(max(s.shown(v), 1e-3))
		y.low, y.high = min(y.low, at), max(y.high, at)
	}
	y.low, y.high = math.Floor(y.low), math.Ceil(y.high)
	return x, y
}

func (s Series) lines() string {
	var c canvas
	c.begin(lineLow+50, s.Title+", "+s.shownUnit())
	x, y := s.scales()
	for _, d := range y.decades() {
		c.line(plotLeft, y.place(d), plotRight-20, y.place(d), "#dddddd")
		c.text(plotLeft-6, y.place(d)+4, "end", short(d))
	}
	for _, d := range x.decades() {
		c.line(x.place(d), lineTop, x.place(d), lineLow, "#dddddd")
		c.text(x.place(d), lineLow+18, "middle", short(d))
	}
	c.text((plotLeft+plotRight)/2, lineLow+38, "middle", s.Axis)
	for i, r := range s.rows() {
		c.curve(s, r, colour(i), x, y)
		c.line(plotRight, float64(lineTop+18*i), plotRight+20, float64(lineTop+18*i), colour(i))
		c.text(plotRight+26, float64(lineTop+18*i+4), "start", r)
	}
	c.WriteString("</svg>\n")
	return c.String()
}

func (c *canvas) curve(s Series, row, stroke string, x, y scale) {
	var points []string
	for _, v := range s.Values {
		if v.Row != row {
			continue
		}
		px, py := x.place(v.Size), y.place(max(s.shown(v), 1e-3))
		points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
		fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px, py, stroke)
	}
	fmt.Fprintf(c, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), stroke)
}

// bars are grouped by row, one for each column.
func (s Series) bars() string {
	const left, high, right = 250, 16, 90
	var c canvas
	most := 0.0
	for _, v := range s.Values {
		most = max(most, s.shown(v))
	}
	columns := s.columns()
	c.begin(60+len(s.Values)*high+len(s.rows())*10+18*len(columns), s.Title+", "+s.shownUnit())
	y := 40.0
	for _, r := range s.rows() {
		c.text(left-8, y+12, "end", r)
		for i, col := range columns {
			v, ok := s.at(r, col)
			if !ok {
				continue
			}
			width := max(s.shown(v), 0) / max(most, 1e-9) * (plotWidth - left - right)
			fmt.Fprintf(&c, `<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y, width, high-3, colour(i))
			c.text(left+width+5, y+11, "start", short(s.shown(v)))
			y += high
		}
		y += 10
	}
	for i, col := range columns {
		fmt.Fprintf(&c, `<rect x="%d" y="%.1f" width="12" height="12" fill="%s"/>`+"\n", left, y, colour(i))
		c.text(left+18, y+10, "start", col)
		y += 18
	}
	c.WriteString("</svg>\n")
	return c.String()
}
