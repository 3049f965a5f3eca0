package lvs

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
)

// Why a command about a sync daemon is refused. Test with errors.Is.
var (
	// ErrDaemonRuns says that the sync daemon to be started runs already.
	ErrDaemonRuns = errors.New("such a sync daemon runs already")
	// ErrNoDaemon says that the sync daemon to be stopped does not run.
	ErrNoDaemon = errors.New("no such sync daemon runs")
	// ErrNoInterface says that this host has no such network interface.
	ErrNoInterface = errors.New("no such network interface")
)

// A SyncRole is what a sync daemon does: the master tells its connections, the
// backup takes those of others in.
type SyncRole string

// The roles. A host may have one daemon of each.
const (
	SyncMaster SyncRole = "master"
	SyncBackup SyncRole = "backup"
)

// A SyncDaemon exchanges connections with other directors by multicast. Of what
// is zero, but for the number, the data plane has a value of its own.
type SyncDaemon struct {
	Role      SyncRole
	Interface string
	ID        uint8  // who belongs together; a backup with 0 takes all
	MaxLength uint16 // bytes of a message
	Group     netip.Addr
	Port      uint16
	TTL       uint8
}

// String is the daemon as ipvsadm would start it.
func (d SyncDaemon) String() string {
	text := fmt.Sprintf("--start-daemon %s --mcast-interface %s --syncid %d", d.Role, d.Interface, d.ID)
	if d.MaxLength != 0 {
		text += fmt.Sprintf(" --sync-maxlen %d", d.MaxLength)
	}
	if d.Group.IsValid() {
		text += fmt.Sprintf(" --mcast-group %s", d.Group)
	}
	if d.Port != 0 {
		text += fmt.Sprintf(" --mcast-port %d", d.Port)
	}
	if d.TTL != 0 {
		text += fmt.Sprintf(" --mcast-ttl %d", d.TTL)
	}
	return text
}

// SyncTag is a short text that is another one once one of the daemons is.
func SyncTag(ds []SyncDaemon) string {
	h := fnv.New64a()
	for _, d := range ds {
		_, _ = h.Write([]byte(d.String() + "\n")) // a hash takes everything
	}
	return strconv.FormatUint(h.Sum64(), 16)
}
