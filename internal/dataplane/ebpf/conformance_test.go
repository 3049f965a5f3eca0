package ebpf

import (
	"testing"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dataplane/dataplanetest"
)

// small is an engine with room for tests. Its tables differ in size, so that
// none is looked through by the size of another.
var small = Options{Connections: 4096, Connections6: 512, HalfOpen: 1024, Wide: 4096, Services: 1024, Destinations: 4096}

func TestConformance(t *testing.T) {
	// One engine serves all, emptied: loading takes seconds on a slow machine.
	dataplanetest.Run(t, func(t *testing.T) dataplane.Dataplane { return newRig(t).plane })
}
