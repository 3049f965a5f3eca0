package director

import (
	"fmt"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// Role takes what this director has become for a virtual router. The table does
// not depend on it: a backup holds all services and lacks the addresses alone.
func (d *Director) Role(r lvs.RouterRole) { d.tell(func(m *mind) { m.role(r) }) }

func (m *mind) role(r lvs.RouterRole) {
	if m.roles == nil {
		m.roles = map[string]lvs.RouterState{}
	}
	was, known := m.roles[r.Router.Name]
	m.roles[r.Router.Name] = r.State
	if known && was == r.State {
		return
	}
	m.event("router", lvs.ServiceKey{}, netip.AddrPort{}, fmt.Sprintf("virtual router %s is %s, priority %d: %s", r.Router.Name, r.State, r.Priority, r.Why))
}
