package bench

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// stranger is a program that makes room for a header and sends the packet back.
func stranger(missed uint64) peer {
	calls := uint64(0)
	return peer{
		name: "stranger", program: "floor_head_xdp",
		object: func(match) string { return "dispatcher_bpfel.o" },
		fill:   func(*ebpf.Collection, match) error { return nil },
		missed: func(*ebpf.Collection) (uint64, error) { calls++; return calls * missed, nil },
	}
}

// TestPeer: a foreign program that does something else, or knows no flows, has
// no figures.
func TestPeer(t *testing.T) {
	labtest.NeedRoot(t)
	longer := func(n int) match {
		return match{row: known()[3], grows: map[string]int{"stranger": n}}
	}
	try := func(p peer, m match) error {
		l, err := p.load(".", m)
		if err != nil {
			return err
		}
		defer l.close()
		if err := l.open(m, 10); err != nil {
			return err
		}
		ns, err := l.run(m, run{frame: m.packet, flows: 10, random: true, times: 1000})
		if err == nil && ns <= 0 {
			t.Errorf("%f ns", ns)
		}
		return err
	}
	err := pinned(func(*lab.Host) error {
		for _, tt := range []struct {
			name   string
			missed uint64
			grows  int
			want   error
		}{{"as it should", 0, 20, nil}, {"not longer", 0, 0, errOtherRoad}, {"of no known flow", 100, 20, errOtherRoad}} {
			if err := try(stranger(tt.missed), longer(tt.grows)); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
