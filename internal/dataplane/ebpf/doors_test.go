package ebpf

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestTheTableDoesNotWaitForTheDoors: services are put and counted while the
// programs are being loaded. What needs a program waits, and hears it if the
// kernel refuses.
func TestTheTableDoesNotWaitForTheDoors(t *testing.T) {
	shared, err := sharedEngine()
	labtest.Must(t, err)
	empty(t, shared)
	e := &engine{maps: shared.maps, seed: shared.seed, settings: shared.settings}
	refused, verified := errors.New("refused"), make(chan struct{})
	e.doors.Go(func() error {
		<-verified
		return refused
	})
	o := small
	labtest.Must(t, o.fill())
	p := over(e, o, slog.New(slog.DiscardHandler))
	svc := tcpService(lvs.WLC, lvs.DirectRoute, 3)
	labtest.Must(t, p.Put(t.Context(), svc))
	if c, err := p.Count(t.Context(), svc.Key); err != nil || len(c.Destinations) != 3 {
		t.Errorf("counts %+v, %v", c, err)
	}
	outcomes := make(chan error)
	go func() { outcomes <- p.Reach(t.Context(), lvs.Network{}) }()
	go func() { outcomes <- p.Run(t.Context()) }()
	close(verified)
	for range 2 {
		if err := <-outcomes; !errors.Is(err, refused) {
			t.Errorf("%v, want the refusal", err)
		}
	}
	if p.engine.program(progSweep) != nil || p.Programs() != nil {
		t.Error("there are programs")
	}
	if _, err := p.Dissect(false); !errors.Is(err, refused) {
		t.Errorf("dissected: %v", err)
	}
}
