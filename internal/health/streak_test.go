package health

import "testing"

func TestStreak(t *testing.T) {
	tests := []struct {
		name       string
		start      Streak
		rise, fall int
		answers    string // + good, - bad
		want       string // after each answer: U up, d down; a change is marked !
	}{
		{"zero counts as one", Streak{Up: true}, 0, 0, "-+-", "d!U!d!"},
		{"one bad answer is enough", Streak{Up: true}, 1, 1, "-", "d!"},
		{"three in a row", Streak{Up: true}, 1, 3, "---", "UUd!"},
		{"a good answer starts the count again", Streak{Up: true}, 1, 3, "--+--+", "UUUUUU"},
		{"rising takes as many as asked", Streak{}, 2, 1, "+-++", "dddU!"},
		{"down stays down", Streak{}, 1, 1, "---", "ddd"},
		{"up stays up", Streak{Up: true}, 1, 1, "+++", "UUU"},
		{"an old count goes on", Streak{Up: true, Runs: 2}, 1, 3, "-", "d!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, s := "", tt.start
			for _, a := range tt.answers {
				var changed bool
				s, changed = s.After(a == '+', tt.rise, tt.fall)
				got += map[bool]string{true: "U", false: "d"}[s.Up]
				if changed {
					got += "!"
				}
			}
			if got != tt.want {
				t.Errorf("%s gives %s, want %s", tt.answers, got, tt.want)
			}
		})
	}
}

// The sequence is the one the original was seen to ask with checktype=2.
func TestRota(t *testing.T) {
	tests := []struct {
		name    string
		every   int
		answers string
		want    string // N negotiate, c connect
	}{
		{"never cheap", 0, "+++", "NNN"},
		{"two cheap after a good one", 2, "+++++++", "NccNccN"},
		{"a bad negotiate is repeated", 2, "--++", "NNNc"},
		{"a bad connect brings the negotiate back", 3, "+-+++++", "NcNcccN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, r := "", rota{every: tt.every}
			for _, a := range tt.answers {
				got += map[bool]string{true: "c", false: "N"}[r.cheap()]
				r = r.after(a == '+')
			}
			if got != tt.want {
				t.Errorf("asked %s, want %s", got, tt.want)
			}
		})
	}
}
