package ebpf

import (
	"errors"
	"syscall"
)

// isInvalid recognises how a kernel says that it does not know an attach type.
func isInvalid(err error) bool { return errors.Is(err, syscall.EINVAL) }
