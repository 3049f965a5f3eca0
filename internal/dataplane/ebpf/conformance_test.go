package ebpf

import (
	"log/slog"
	"testing"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dataplane/dataplanetest"
	"github.com/weir-lb/weir/internal/lab/labtest"
)

// small is an engine with room for tests.
var small = Options{Connections: 4096, HalfOpen: 1024, Wide: 4096, Services: 1024, Destinations: 4096}

func open(t *testing.T, o Options) *Plane {
	t.Helper()
	labtest.NeedRoot(t)
	p, err := Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestConformance(t *testing.T) {
	dataplanetest.Run(t, func(t *testing.T) dataplane.Dataplane { return open(t, small) })
}
