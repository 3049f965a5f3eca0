package bench

import (
	"fmt"
	"math"
	"strings"
)

// slope says how a row grows: the exponent k of "cost ~ size^k" that fits its
// figures best, by least squares of logarithms. ok: there is enough to fit.
func (s Series) slope(row string) (k float64, ok bool) {
	var n, sx, sy, sxx, sxy float64
	for _, v := range s.Values {
		y := s.shown(v)
		if v.Row != row || v.Size <= 0 || y <= 0 {
			continue
		}
		x, y := math.Log(v.Size), math.Log(y)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if n < 2 || n*sxx == sx*sx {
		return 0, false
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx), true
}

// growth says of each row how it grows; nothing where columns are names.
func (s Series) growth() string {
	if !s.numbers() {
		return ""
	}
	var parts []string
	for _, r := range s.rows() {
		if k, ok := s.slope(r); ok {
			parts = append(parts, fmt.Sprintf("%s %.2f", r, k))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Growth, as the exponent of the size (0: not at all, 1: in proportion): " + strings.Join(parts, "; ") + "."
}
