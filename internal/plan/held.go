package plan

import (
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// Held are the addresses this director is to hold while the virtual routers
// have these roles: those of the active ones. What already stands, left by a
// weir that was killed, stays as long as its router does not know yet who is
// active: if nobody else is, no packet is lost.
func Held(roles []lvs.RouterRole, standing []lvs.HeldAddress) (out []lvs.HeldAddress) {
	for _, r := range roles {
		for _, a := range r.Router.Held() {
			if r.State == lvs.RouterActive || undecided(r) && slices.Contains(standing, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// undecided: nobody has been heard, and it has not been waited long enough.
func undecided(r lvs.RouterRole) bool {
	return (r.State == lvs.RouterBackup || r.State == lvs.RouterInit) && r.Counts.Takeovers == 0 && r.Active == netip.Addr{}
}
