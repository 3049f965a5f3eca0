package ipvsadm

import (
	"errors"

	"github.com/weir-lb/weir/internal/lvs"
)

// errorTexts are what ipvsadm says to what the kernel answers.
var errorTexts = []struct {
	err  error
	text string
}{
	{lvs.ErrServiceExists, "Service already exists"},
	{lvs.ErrNoService, "No such service"},
	{lvs.ErrDestinationExists, "Destination already exists"},
	{lvs.ErrNoDestination, "No such destination"},
	{lvs.ErrNoScheduler, "Scheduler or persistence engine not found"},
	{lvs.ErrRange, "Numerical result out of range"},
	{lvs.ErrInvalid, "Invalid operation.  Possibly wrong module version, address not unicast, ..."},
	{lvs.ErrFull, "Memory allocation problem"},
	{lvs.ErrDaemonRuns, "Daemon has already run"},
	{lvs.ErrNoDaemon, "No daemon is running"},
	{lvs.ErrNoInterface, "No such device"},
}

// ErrorText is what ipvsadm prints when a command is refused. What it has no
// words for is told in weir's.
func ErrorText(v Verb, err error) string {
	serverVerb := v == AddServer || v == EditServer || v == DeleteServer
	if serverVerb && errors.Is(err, lvs.ErrNoService) {
		return "Service not defined"
	}
	for _, e := range errorTexts {
		if errors.Is(err, e.err) {
			return e.text
		}
	}
	if errors.Is(err, lvs.ErrUnsupported) {
		return "Protocol not available: " + err.Error()
	}
	return err.Error()
}
