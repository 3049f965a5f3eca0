package lvs

import (
	"fmt"
	"slices"
	"strings"
)

// A Role says how much of the API somebody may use. Each may do what those
// below it may.
type Role uint8

// The roles. RoleNone may do nothing.
const (
	RoleNone    Role = iota
	RoleRead         // look
	RoleOperate      // give orders that can be taken back
	RoleAdmin        // change the table and the configuration, and stop weir
)

var roleNames = []string{"none", "read", "operate", "admin"}

// Roles are the names of the roles that may do something.
func Roles() []string { return slices.Clone(roleNames[RoleRead:]) }

// String is the role's name.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// ParseRole reads the name of a role that may do something.
func ParseRole(s string) (Role, error) {
	if i := slices.Index(roleNames, s); i > int(RoleNone) {
		return Role(i), nil
	}
	return RoleNone, fmt.Errorf("there is no role %q; use %s", s, strings.Join(Roles(), ", "))
}
