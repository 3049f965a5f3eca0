package ebpf

import (
	"slices"
	"testing"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

// Only tables that may hold connections are swept: those of services that
// stand, and of dropped ones whose connections live.
func TestOnlyWhatIsInUseIsSwept(t *testing.T) {
	r := newRig(t)
	want := func(names ...string) {
		t.Helper()
		var got []string
		for _, s := range r.plane.inUse() {
			got = append(got, s.name)
		}
		if !slices.Equal(got, names) {
			t.Errorf("swept: %v, want %v", got, names)
		}
	}
	want()
	svc := tcpService(lvs.RR, lvs.Masquerade, 1)
	r.reach(1500, false, svc)
	r.put(svc)
	want("conns4", "half4")
	r.put(tcpService6(lvs.RR, lvs.Masquerade, 1))
	want("conns4", "conns6", "half4", "half6")
	r.ingress(segment(client, vip, "S"))
	labtest.Must(t, r.plane.Drop(t.Context(), svc.Key))
	want("conns4", "conns6", "half4", "half6")
	svc.Key.Addr = vip
	svc.Persistence = lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(lvs.IPv4, 32)}
	r.put(svc)
	want("conns4", "conns6", "half4", "half6", "wides")
}
