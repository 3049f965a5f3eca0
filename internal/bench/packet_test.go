package bench

import (
	"errors"
	"io"
	"log/slog"
	"regexp"
	"testing"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

func few(t *testing.T, only string) PacketOptions {
	return PacketOptions{Only: regexp.MustCompile(only), Doors: []bool{true, false}, Flows: []uint32{1, 300}, Rounds: 2, Times: 1000, Out: io.Discard}
}

// TestPackets lets a few packets down some roads: through both doors, with and
// without room to be made in front of them, of known flows and of new ones.
func TestPackets(t *testing.T) {
	labtest.NeedRoot(t)
	all, err := Packets(t.Context(), few(t, "^(gate|masq, reply|ipip|not a.*|new flow, rr.*)$"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*2*4 + 2; len(all) != want {
		t.Fatalf("%d figures, want %d", len(all), want)
	}
	for _, p := range all {
		// Which of them is longer is no matter for a busy machine to tell.
		if p.Floor.Median <= 0 || p.Gross.Median <= 0 {
			t.Errorf("%s, %s: %v beside a floor of %v", p.Row, p.Door, p.Gross, p.Floor)
		}
	}
}

// TestOtherRoads: what did not do what its row says is no figure.
func TestOtherRoads(t *testing.T) {
	labtest.NeedRoot(t)
	unknown := known()[0]
	unknown.opening = nil
	elsewhere := known()[0]
	elsewhere.verdict = "replied"
	err := pinned(func(*lab.Host) error {
		s, err := newStage(dataplane.Options{Connections: 4096, Wide: 4096, Services: 16, Destinations: 64}, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer s.close()
		for name, r := range map[string]row{"of no known flow": unknown, "another verdict": elsewhere} {
			if _, err := s.packets(t.Context(), []row{r}, few(t, "")); !errors.Is(err, errOtherRoad) {
				t.Errorf("%s: %v, want %v", name, err, errOtherRoad)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
