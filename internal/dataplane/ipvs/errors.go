package ipvs

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

// ErrNoIPVS says that the kernel of this host does not have what the room
// drives.
var ErrNoIPVS = errors.New("this kernel has no IPVS: load it with modprobe ip_vs, or use dataplane: ebpf")

// A saying is what an errno means for one kind of command.
type saying struct {
	err  error
	text string
}

// sayings are those that mean the same for every command.
var sayings = map[syscall.Errno]saying{
	syscall.EPERM:        {nil, "the kernel speaks of IPVS only to a process with CAP_NET_ADMIN"},
	syscall.ESRCH:        {lvs.ErrNoService, ""},
	syscall.ENOMEM:       {dataplane.ErrFull, "the kernel has no memory for it"},
	syscall.EINVAL:       {lvs.ErrInvalid, "the kernel does not take it"},
	syscall.ERANGE:       {lvs.ErrRange, ""},
	syscall.EAFNOSUPPORT: {dataplane.ErrUnsupported, "this kernel's IPVS was built without IPv6"},
}

// explain says what a refusal of the kernel's means. Of a service: what it
// asks for tells which module may be missing; of a destination at is set.
func explain(err error, cmd uint8, s lvs.Service) error {
	if err == nil {
		return nil
	}
	e := errno(err)
	switch {
	case e == syscall.EEXIST && cmd == cmdNewService:
		return fmt.Errorf("%w: %w", lvs.ErrServiceExists, e)
	case e == syscall.EEXIST && cmd == cmdNewDaemon:
		return fmt.Errorf("%w: %w", lvs.ErrDaemonRuns, e)
	case e == syscall.ESRCH && cmd == cmdDelDaemon:
		return fmt.Errorf("%w: %w", lvs.ErrNoDaemon, e)
	case e == syscall.ENODEV && cmd == cmdNewDaemon:
		return fmt.Errorf("%w: %w", lvs.ErrNoInterface, e)
	case e == syscall.EINVAL && cmd == cmdNewDaemon:
		return fmt.Errorf("%w: the kernel does not take it; none may run while a destination is of another address family than its service: %w", lvs.ErrInvalid, e)
	case e == syscall.EEXIST:
		return fmt.Errorf("%w: %w", lvs.ErrDestinationExists, e)
	case e == syscall.ENOENT && (cmd == cmdNewService || cmd == cmdSetService):
		return missing(s)
	case e == syscall.ENOENT && (cmd == cmdSetDest || cmd == cmdDelDest):
		return fmt.Errorf("%w: %w", lvs.ErrNoDestination, e)
	}
	say, known := sayings[e]
	switch {
	case !known:
		return err
	case say.err == nil:
		return fmt.Errorf("%s: %w", say.text, e)
	case say.text == "":
		return fmt.Errorf("%w: %w", say.err, e)
	}
	return fmt.Errorf("%w: %s: %w", say.err, say.text, e)
}

// missing is a scheduler or persistence engine the kernel could not find.
func missing(s lvs.Service) error {
	text := fmt.Sprintf("scheduler %s needs: modprobe ip_vs_%s", s.Scheduler, s.Scheduler)
	if s.Persistence.Engine != "" {
		text += fmt.Sprintf("; persistence engine %s needs: modprobe ip_vs_pe_%s", s.Persistence.Engine, s.Persistence.Engine)
	}
	return fmt.Errorf("%w: %s", lvs.ErrNoScheduler, text)
}
