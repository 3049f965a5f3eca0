package bench

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// TestAnatomy: every program comes as far as it is to, or there is no figure.
func TestAnatomy(t *testing.T) {
	labtest.NeedRoot(t)
	s, err := Anatomy(t.Context(), AnatomyOptions{Flows: []uint32{1, 300}, Rounds: 2, Times: 1000}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * (len(steps) + 2); len(s.Values) != want {
		t.Errorf("%d figures, want %d", len(s.Values), want)
	}
}

// TestAnatomyOfNothing: a packet of no known flow does not come past the table.
func TestAnatomyOfNothing(t *testing.T) {
	labtest.NeedRoot(t)
	err := pinned(func(*lab.Host) error {
		st, err := newStage(usual, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer st.close()
		gate := gateRow()
		if err := st.serve(t.Context(), gate.service); err != nil {
			return err
		}
		all, done, err := st.sections()
		if err != nil {
			return err
		}
		defer done()
		looked := false
		for i, p := range all[1:] {
			_, err := p.through(run{frame: gate.packet, flows: 1, random: true, times: 10})
			looked = looked || steps[i].program == "upto_connection"
			if looked != errors.Is(err, errOtherRoad) || !looked && err != nil {
				t.Errorf("%s: %v", steps[i].name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
