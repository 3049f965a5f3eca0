package plan_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

func TestHeld(t *testing.T) {
	router := lvs.Router{Name: "a", Interface: "eth0", Addresses: []lvs.HeldAddress{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}},
		Also: []lvs.HeldAddress{{Prefix: netip.MustParsePrefix("10.0.0.1/24"), Interface: "eth1"}}}
	all := router.Held()
	other := netip.MustParseAddr("192.0.2.7")
	for name, test := range map[string]struct {
		role     lvs.RouterRole
		standing []lvs.HeldAddress
		want     []lvs.HeldAddress
	}{
		"active":                        {lvs.RouterRole{State: lvs.RouterActive}, nil, all},
		"backup":                        {lvs.RouterRole{State: lvs.RouterBackup}, nil, nil},
		"left standing, nobody heard":   {lvs.RouterRole{State: lvs.RouterBackup}, all[:1], all[:1]},
		"left standing, not begun":      {lvs.RouterRole{State: lvs.RouterInit}, all, all},
		"left standing, somebody heard": {lvs.RouterRole{State: lvs.RouterBackup, Active: other}, all, nil},
		"left standing, at fault":       {lvs.RouterRole{State: lvs.RouterFault}, all, nil},
		"was active":                    {lvs.RouterRole{State: lvs.RouterBackup, Counts: lvs.RouterCounts{Takeovers: 1}}, all, nil},
	} {
		test.role.Router = router
		if got := plan.Held([]lvs.RouterRole{test.role}, test.standing); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := plan.Held(nil, all); got != nil {
		t.Errorf("held for no router: %v", got)
	}
}
