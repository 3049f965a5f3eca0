package ebpf

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestCountOfOneIsThatAmongAll: whatever was changed, removed, buried and
// counted, one service counts alone what it counts among all.
func TestCountOfOneIsThatAmongAll(t *testing.T) {
	r := newRig(t)
	dice := rand.New(rand.NewPCG(7, 8))
	p := r.plane
	largest := uint64(0)
	for step := range 300 {
		k := randomKey(dice)
		switch n := dice.IntN(8); {
		case n == 0:
			labtest.Must(t, p.Drop(t.Context(), k))
		case n == 1:
			for _, d := range p.table.gone.all() {
				d.gone = d.gone.Add(-2 * time.Minute)
			}
			labtest.Must(t, p.forget())
		default:
			r.put(randomService(dice, k))
		}
		countSomething(t, p, dice)
		all, err := p.Totals(t.Context())
		labtest.Must(t, err)
		for k, among := range all.Services {
			one, err := p.Count(t.Context(), k)
			labtest.Must(t, err)
			if one.Counters != among.Counters || !slices.Equal(one.Destinations, among.Destinations) {
				t.Fatalf("step %d: %s counts %+v, among all %+v", step, k, one, among)
			}
			var served lvs.Counters
			for _, d := range one.Destinations {
				served = served.Add(d.Counters)
			}
			largest = max(largest, one.InBytes-served.InBytes) // of servers that are gone
		}
	}
	if largest == 0 {
		t.Error("no service has counted anything for a server that is gone; the test shows nothing")
	}
}

// countSomething is what packets of some destinations would count, those of
// removed ones among them.
func countSomething(t *testing.T, p *Plane, dice *rand.Rand) {
	t.Helper()
	for id := uint32(1); id < p.table.destIDs.next; id++ {
		if dice.IntN(4) > 0 {
			continue
		}
		var per []engineDestStats
		labtest.Must(t, p.engine.maps["stats"].Lookup(id, &per))
		per[dice.IntN(len(per))].InBytes += uint64(1 + dice.IntN(1000))
		labtest.Must(t, p.engine.maps["stats"].Update(id, per, ebpf.UpdateAny))
		live := engineLive{Conns: uint64(dice.IntN(3))<<32 | uint64(dice.IntN(2)), Templates: uint64(dice.IntN(2))}
		labtest.Must(t, p.engine.maps["lives"].Update(id, live, ebpf.UpdateAny))
	}
}
