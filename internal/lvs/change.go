package lvs

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Why a change made by hand is refused, in the cases the kernel's IPVS tells
// apart. Test with errors.Is.
var (
	// ErrServiceExists says that the service to be added is there already.
	ErrServiceExists = errors.New("the virtual service exists already")
	// ErrNoService says that there is no such service.
	ErrNoService = errors.New("no such virtual service")
	// ErrDestinationExists says that the destination to be added is there already.
	ErrDestinationExists = errors.New("the destination exists already")
	// ErrNoDestination says that the service has no such destination.
	ErrNoDestination = errors.New("no such destination")
	// ErrNoScheduler says that no scheduler or persistence engine has that name.
	ErrNoScheduler = errors.New("no such scheduler or persistence engine")
	// ErrInvalid says that IPVS does not take such a value.
	ErrInvalid = errors.New("not a valid value")
	// ErrRange says that a number is out of its range.
	ErrRange = errors.New("out of range")
	// ErrChanged says that what was to be changed is not as the caller believed.
	ErrChanged = errors.New("it has been changed meanwhile: read it again, and decide anew")
	// ErrFull says that the data plane has no room for what was asked.
	ErrFull = errors.New("the data plane is full")
	// ErrUnsupported says that this data plane cannot do what was asked.
	ErrUnsupported = errors.New("not supported by this data plane")
)

// A ChangeKind says what is to be done to the table.
type ChangeKind string

// The kinds of change, by the names of ipvsadm's commands.
const (
	AddService        ChangeKind = "add-service"
	EditService       ChangeKind = "edit-service" // replaces everything but key and destinations
	DeleteService     ChangeKind = "delete-service"
	ClearTable        ChangeKind = "clear"
	AddDestination    ChangeKind = "add-server"
	EditDestination   ChangeKind = "edit-server" // replaces everything but the address
	DeleteDestination ChangeKind = "delete-server"
	// OrderWeight gives a destination a weight that beats configuration and
	// verdict, until RevokeOrder.
	OrderWeight ChangeKind = "order"
	RevokeOrder ChangeKind = "revoke"
	// SetTimeouts sets the timeouts that are not zero.
	SetTimeouts ChangeKind = "set"
	// ReplaceTable makes Table the whole table, or changes nothing.
	ReplaceTable ChangeKind = "replace"
)

// A Change is one thing asked of the table by hand. Service and Destination
// are what is to stand; of what the kind does not set, only the keys count.
type Change struct {
	Kind        ChangeKind
	Service     Service
	Destination Destination
	Timeouts    Timeouts
	Table       []Service
	Until       time.Time // of an order to drain: when it should be done
	// Match refuses the change unless what it is about has such a tag: the
	// whole table if it is one of the table or adds a service (see TagOf), the
	// timeouts, or else the service.
	Match Match
}

// WholeTable tells whether c is about all services at once.
func (c Change) WholeTable() bool { return c.Kind == ClearTable || c.Kind == ReplaceTable }

// String is the change as ipvsadm would be told.
func (c Change) String() string {
	switch c.Kind {
	case AddService:
		return c.Service.String()
	case EditService:
		return "-E" + c.Service.String()[len("-A"):]
	case DeleteService:
		return "-D " + c.Service.Key.String()
	case ClearTable:
		return "-C"
	case AddDestination:
		return fmt.Sprintf("-a %s %s", c.Service.Key, c.Destination)
	case EditDestination:
		return fmt.Sprintf("-e %s %s", c.Service.Key, c.Destination)
	case DeleteDestination:
		return fmt.Sprintf("-d %s -r %s", c.Service.Key, c.Destination.Addr)
	case ReplaceTable:
		return fmt.Sprintf("replace the table by %d services", len(c.Table))
	case SetTimeouts:
		t := c.Timeouts
		return fmt.Sprintf("--set %.0f %.0f %.0f", t.TCP.Seconds(), t.TCPFin.Seconds(), t.UDP.Seconds())
	case OrderWeight:
		return fmt.Sprintf("order %s -r %s -w %d", c.Service.Key, c.Destination.Addr, c.Destination.Weight)
	}
	return fmt.Sprintf("%s %s -r %s", c.Kind, c.Service.Key, c.Destination.Addr)
}

// An Order is a weight an operator gave a destination; it beats configuration
// and verdict.
type Order struct {
	Service     ServiceKey
	Destination netip.AddrPort
	Weight      int
	Since       time.Time
	Until       time.Time // when draining should be done; zero: no deadline
}

// Timeouts are those ipvsadm --set can change.
type Timeouts struct {
	TCP    time.Duration // ESTABLISHED, 900 s
	TCPFin time.Duration // FIN_WAIT, 120 s
	UDP    time.Duration // 300 s
}

// Tag is a short text that is another one once one of the timeouts is.
func (t Timeouts) Tag() string {
	return fmt.Sprintf("%.0f-%.0f-%.0f", t.TCP.Seconds(), t.TCPFin.Seconds(), t.UDP.Seconds())
}

// Over is t where it says something, and else what base says.
func (t Timeouts) Over(base Timeouts) Timeouts {
	for _, f := range []struct{ have, base *time.Duration }{{&t.TCP, &base.TCP}, {&t.TCPFin, &base.TCPFin}, {&t.UDP, &base.UDP}} {
		if *f.have == 0 {
			*f.have = *f.base
		}
	}
	return t
}
