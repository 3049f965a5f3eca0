package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// An answer is what became of one request.
type answer struct {
	begun time.Time
	took  time.Duration
	from  string // the server's name; empty if there was none
	err   error
}

// A tally is what became of many.
type tally []answer

// since are the requests begun at t or later.
func (a tally) since(t time.Time) tally {
	return slices.DeleteFunc(slices.Clone(a), func(x answer) bool { return x.begun.Before(t) })
}

// failed counts those without an answer.
func (a tally) failed() (n int) {
	for _, x := range a {
		if x.err != nil {
			n++
		}
	}
	return n
}

// failure is the first reason, for people who wonder.
func (a tally) failure() error {
	for _, x := range a {
		if x.err != nil {
			return x.err
		}
	}
	return nil
}

// slowest is the longest wait for an answer.
func (a tally) slowest() (most time.Duration) {
	for _, x := range a {
		most = max(most, x.took)
	}
	return most
}

// by counts the answers of each server.
func (a tally) by() map[string]int {
	n := map[string]int{}
	for _, x := range a {
		if x.err == nil {
			n[x.from]++
		}
	}
	return n
}

// spread is by in words: "real1 20, real2 20".
func (a tally) spread() string {
	by := a.by()
	var words []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		words = append(words, fmt.Sprintf("%s %d", name, by[name]))
	}
	if words == nil {
		return "no answers"
	}
	return strings.Join(words, ", ")
}

// as tells whether the real servers answered exactly n[0], n[1], … requests
// and nobody else any.
func (a tally) as(n ...int) bool {
	by := a.by()
	for i, want := range n {
		if by[realName(i)] != want {
			return false
		}
		delete(by, realName(i))
	}
	return len(by) == 0
}

// noFailures notes a tally of which every request must have been answered.
func (g *sight) noFailures(a tally) {
	g.number("requests", float64(len(a)))
	g.number("failed", float64(a.failed()))
	g.number("slowest_seconds", seconds(a.slowest()))
	if err := a.failure(); err != nil {
		g.see(false, "%d of %d failed, first: %v", a.failed(), len(a), err)
		return
	}
	g.see(len(a) > 0, "0 of %d failed", len(a))
}
