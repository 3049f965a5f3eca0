package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ifreqValue is struct ifreq pointing at an ethtool_value, as SIOCETHTOOL
// wants it (include/uapi/linux/if.h). The kernel reads 40 bytes.
type ifreqValue struct {
	name  [unix.IFNAMSIZ]byte
	value *ethtoolValue
	_     [24 - unsafe.Sizeof(uintptr(0))]byte
}

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// offloads are the features that make a packet differ from what travels on a
// real wire, with the commands that read and set each of them. Segmentation
// comes before the checksums it depends on.
var offloads = []struct {
	name     string
	get, set uint32
	finished uint32 // value that makes the interface send finished packets
}{
	{"tso", unix.ETHTOOL_GTSO, unix.ETHTOOL_STSO, 0},
	{"gso", unix.ETHTOOL_GGSO, unix.ETHTOOL_SGSO, 0},
	{"tx", unix.ETHTOOL_GTXCSUM, unix.ETHTOOL_STXCSUM, 0},
	{"gro", unix.ETHTOOL_GGRO, unix.ETHTOOL_SGRO, 1},
}

// noOffload makes an interface send finished packets only, see WireOptions.
func (h *Host) noOffload(name string) error {
	return h.ethtool(name, func(call func(cmd, data uint32) (uint32, error)) error {
		for _, o := range offloads {
			if _, err := call(o.set, o.finished); err != nil {
				return err
			}
		}
		return nil
	})
}

// Offloads names the features switched on at an interface: tso, gso, tx (a
// checksum left to the receiver), gro.
func (h *Host) Offloads(name string) (on []string, err error) {
	err = h.ethtool(name, func(call func(cmd, data uint32) (uint32, error)) error {
		for _, o := range offloads {
			value, err := call(o.get, 0)
			if err != nil {
				return err
			}
			if value != 0 {
				on = append(on, o.name)
			}
		}
		return nil
	})
	return on, err
}

// carrier tells whether an interface has a carrier, and has the kernel act on
// it before it answers.
func (h *Host) carrier(name string) (up bool, err error) {
	err = h.ethtool(name, func(call func(cmd, data uint32) (uint32, error)) error {
		value, err := call(unix.ETHTOOL_GLINK, 0)
		up = value != 0
		return err
	})
	return up, err
}

// ethtool lets do speak to one interface.
func (h *Host) ethtool(name string, do func(call func(cmd, data uint32) (uint32, error)) error) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return do(func(cmd, data uint32) (uint32, error) {
			v := ethtoolValue{cmd, data}
			req := ifreqValue{value: &v}
			copy(req.name[:unix.IFNAMSIZ-1], name)
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
			if errno != 0 {
				return 0, fmt.Errorf("ethtool of %s: %w", name, errno)
			}
			return v.data, nil
		})
	})
}
