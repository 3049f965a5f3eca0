package demo

import (
	"errors"
	"testing"
	"time"
)

var errLost = errors.New("lost")

// at is a request begun at second s.
func at(s int64, from string) answer {
	a := answer{begun: time.Unix(s, 0), took: time.Duration(s) * time.Millisecond, from: from}
	if from == "" {
		a.err = errLost
	}
	return a
}

func TestTally(t *testing.T) {
	for _, tt := range []struct {
		name    string
		a       tally
		failed  int
		slowest time.Duration
		spread  string
		as      []int
	}{
		{"none", nil, 0, 0, "no answers", nil},
		{"all failed", tally{at(1, ""), at(2, "")}, 2, 2 * time.Millisecond, "no answers", nil},
		{"one failed", tally{at(3, "real2"), at(2, ""), at(1, "real1")}, 1, 3 * time.Millisecond, "real1 1, real2 1", []int{1, 1}},
		{"a stranger", tally{at(1, "real1"), at(1, "sorry")}, 0, time.Millisecond, "real1 1, sorry 1", nil},
		{"uneven", tally{at(1, "real1"), at(1, "real3"), at(1, "real1")}, 0, time.Millisecond, "real1 2, real3 1", []int{2, 0, 1}},
	} {
		if tt.a.failed() != tt.failed || tt.a.slowest() != tt.slowest || tt.a.spread() != tt.spread || (tt.a.failure() != nil) != (tt.failed > 0) {
			t.Errorf("%s: %d failed (%v), slowest %v, %q", tt.name, tt.a.failed(), tt.a.failure(), tt.a.slowest(), tt.a.spread())
		}
		for _, shares := range [][]int{{1, 1}, {2, 0, 1}, {1, 0, 0}} {
			want := tt.as != nil && shares[0] == tt.as[0] && shares[1] == tt.as[1]
			if got := tt.a.as(shares...); got != want {
				t.Errorf("%s: as(%v) = %v", tt.name, shares, got)
			}
		}
	}
}

// A request belongs to the time it was begun in.
func TestSince(t *testing.T) {
	all := tally{at(1, "real1"), at(3, "real3"), at(2, "")}
	if got := all.since(time.Unix(2, 0)); len(got) != 2 || got.failed() != 1 || len(all) != 3 || all[1].from != "real3" {
		t.Errorf("since: %v of %v", got, all)
	}
}

func TestNoFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    tally
		ok   bool
	}{
		{"nothing was asked", nil, false},
		{"one failed", tally{at(1, "real1"), at(1, "")}, false},
		{"all answered", tally{at(1, "real1"), at(1, "real2")}, true},
	} {
		var g sight
		g.noFailures(tt.a)
		if g.wrong == tt.ok || g.numbers["requests"] != float64(len(tt.a)) || g.numbers["failed"] != float64(tt.a.failed()) {
			t.Errorf("%s: %+v", tt.name, g)
		}
	}
}
