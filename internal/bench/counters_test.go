package bench

import (
	"log/slog"
	"testing"

	"github.com/weir-lb/weir/internal/lab/labtest"
)

// TestCounters is the guard that needs no quiet machine: what a packet asks of
// the kernel, and how large the programs are, against what was written down.
func TestCounters(t *testing.T) {
	labtest.NeedRoot(t)
	was, err := ReadCounters("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	now, err := Count(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range now.Against(was) {
		t.Error(w)
	}
	if t.Failed() {
		t.Log("if it is worth it: make bench-counters writes it down, and the commit says why")
	}
}

func TestAgainst(t *testing.T) {
	was := Counters{Kernel: "6.18", Programs: map[string]Program{"weir_xdp": {1000, 1000}},
		Paths: map[string]Calls{"gate, xdp": {7, []string{"Redirect"}}}}
	for _, tt := range []struct {
		name string
		now  Counters
		want int
	}{
		{"the same", was, 0},
		{"a look-up more", Counters{Kernel: "6.18", Programs: was.Programs, Paths: map[string]Calls{"gate, xdp": {8, []string{"Redirect"}}}}, 1},
		{"a look-up less", Counters{Kernel: "6.18", Programs: was.Programs, Paths: map[string]Calls{"gate, xdp": {6, []string{"Redirect"}}}}, 0},
		{"a helper more", Counters{Kernel: "6.18", Programs: was.Programs, Paths: map[string]Calls{"gate, xdp": {7, []string{"FibLookup", "Redirect"}}}}, 1},
		{"a path nobody wrote down", Counters{Kernel: "6.18", Programs: was.Programs, Paths: map[string]Calls{"masq, xdp": {}}}, 1},
		{"a little larger", Counters{Kernel: "6.18", Programs: map[string]Program{"weir_xdp": {1100, 1100}}}, 0},
		{"larger", Counters{Kernel: "6.18", Programs: map[string]Program{"weir_xdp": {1111, 1111}}}, 2},
		{"larger elsewhere", Counters{Kernel: "6.1", Programs: map[string]Program{"weir_xdp": {9000, 9000}}}, 0},
	} {
		if got := tt.now.Against(was); len(got) != tt.want {
			t.Errorf("%s: %v, want %d complaints", tt.name, got, tt.want)
		}
	}
}
