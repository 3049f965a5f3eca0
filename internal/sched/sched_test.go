package sched

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// dests makes a list in list order: "34=2 33=3 32=5" is 10.0.1.34 with weight 2 first.
func dests(text string) []lvs.Destination {
	var list []lvs.Destination
	for _, f := range strings.Fields(text) {
		var host byte
		var weight int
		if _, err := fmt.Sscanf(f, "%d=%d", &host, &weight); err != nil {
			panic(err)
		}
		list = append(list, lvs.Destination{
			Addr:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, host}), 80),
			Weight: weight,
		})
	}
	return list
}

func picks(m *Model, n int) string {
	var b strings.Builder
	for range n {
		i, ok := m.Pick(make([]Load, len(m.Dests)))
		if !ok {
			b.WriteString("- ")
			continue
		}
		fmt.Fprintf(&b, "%d ", m.Dests[i].Addr.Addr().As4()[3])
	}
	return strings.TrimSpace(b.String())
}

func TestSequences(t *testing.T) {
	for _, tt := range []struct {
		name      string
		scheduler lvs.Scheduler
		list      string
		want      string
	}{
		{"rr begins with the newest", lvs.RR, "34=1 33=1 32=1", "34 33 32 34 33"},
		{"rr passes over weight 0", lvs.RR, "34=1 33=0 32=9", "34 32 34 32"},
		{"rr with nobody", lvs.RR, "34=0", "- -"},
		// The sequence observed on the kernel, weights 5, 3, 2.
		{"wrr", lvs.WRR, "34=2 33=3 32=5", "34 33 32 32 32 33 32 34 33 32 34 33 32 32 32"},
		{"wrr with a common divisor", lvs.WRR, "2=4 1=2", "2 1 2 2 1 2"},
		{"wrr with nobody", lvs.WRR, "34=0 33=0", "- -"},
		{"lc, the first wins a tie", lvs.LC, "34=1 33=1", "34 34"},
		{"wlc never takes weight 0", lvs.WLC, "34=0 33=1", "33 33"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := NewModel(tt.scheduler, dests(tt.list))
			if got := picks(m, len(strings.Fields(tt.want))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestLeast(t *testing.T) {
	m := NewModel(lvs.WLC, dests("3=1 2=2 1=4"))
	for _, tt := range []struct {
		loads []Load
		want  int
	}{
		{[]Load{{Active: 1}, {Active: 1}, {Active: 1}}, 2},
		{[]Load{{Inactive: 300}, {Active: 1}, {Active: 3}}, 1},
		{[]Load{{Inactive: 1}, {Inactive: 2}, {Inactive: 4}}, 0},
	} {
		if got, _ := m.Pick(tt.loads); got != tt.want {
			t.Errorf("loads %v: got %d, want %d", tt.loads, got, tt.want)
		}
	}
}

func TestOverloadedIsPassedOver(t *testing.T) {
	for _, s := range []lvs.Scheduler{lvs.RR, lvs.WRR, lvs.LC, lvs.WLC} {
		m := NewModel(s, dests("2=1 1=1"))
		if i, _ := m.Pick([]Load{{Overloaded: true}, {Active: 9, Inactive: 9}}); i != 1 {
			t.Errorf("%s chose an overloaded destination", s)
		}
	}
}

func TestRoundAfterAChange(t *testing.T) {
	abc := dests("3=1 2=1 1=1")
	for _, tt := range []struct {
		name string
		pos  int
		to   string
		want string
	}{
		{"nothing", 0, "3=1 2=1 1=1", "2 1 3"},
		{"another was removed", 1, "3=1 2=1", "3 2 3"},
		{"the last used was removed: back one", 1, "3=1 1=1", "1 3 1"},
		{"the first, last used, was removed: before the list", 0, "2=1 1=1", "2 1 2"},
		{"one was added at the head", 0, "4=1 3=1 2=1 1=1", "2 1 4"},
		{"all are new", 2, "9=1 8=1", "9 8 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := dests(tt.to)
			m := &Model{Scheduler: lvs.RR, Dests: to, Round: After(lvs.RR, Round{Pos: tt.pos}, abc, to)}
			if got := picks(m, 3); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWeightedRoundAfterAChange(t *testing.T) {
	from := dests("2=2 1=5")
	r := Round{Pos: 1, Weight: 4}
	if got := After(lvs.WRR, r, from, dests("2=2 1=3")); got != (Round{Head, 3}) {
		t.Errorf("a weight above the new top: got %+v", got)
	}
	// Weight 2 to 4: divisor 1, so 4 stays. Then 5 to 8: divisor 4, so 4/4·4+1.
	if got := After(lvs.WRR, r, from, dests("2=4 1=8")); got != (Round{Head, 5}) {
		t.Errorf("a new divisor: got %+v", got)
	}
	if got := After(lvs.WRR, r, from, from); got != r {
		t.Errorf("no change moved the round: %+v", got)
	}
}

// A scheduler that takes a service over begins as if all had been there.
func TestStart(t *testing.T) {
	list := dests("3=1 2=2 1=6")
	if got := Start(lvs.WRR, list); got != (Round{Head, 6}) {
		t.Errorf("wrr: %+v", got)
	}
	if got := Start(lvs.RR, list); got != (Round{Pos: Head}) {
		t.Errorf("rr: %+v", got)
	}
}
