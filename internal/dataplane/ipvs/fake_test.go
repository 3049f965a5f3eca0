package ipvs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// A fake is a kernel's IPVS as far as its table goes: the checks and the order
// of lists are the kernel's, packets there are none. What it says is held
// against the real one in the guest.
type fake struct {
	table    []lvs.Service
	timeouts lvs.Timeouts
	daemons  map[lvs.SyncRole]lvs.SyncDaemon
	deaf     bool          // says nothing when a daemon is stopped
	stuck    bool          // and does not do it
	lacks    lvs.Scheduler // a scheduler whose module is missing
	meddle   func(cmd uint8)
	said     []string // the commands that changed something
}

func (f *fake) close() error { return nil }

func (f *fake) ask(_ context.Context, cmd uint8, dump bool, attrs []byte) ([][]byte, error) {
	if f.meddle != nil {
		f.meddle(cmd)
	}
	switch cmd {
	case cmdGetService:
		return f.get(dump, attrs)
	case cmdGetDest:
		return f.dests(attrs)
	case cmdGetConfig:
		b, err := encode(func(e *netlink.AttributeEncoder) { encodeTimeouts(e, f.timeouts) })
		return [][]byte{b}, err
	case cmdSetConfig:
		t, err := decodeTimeouts(attrs)
		f.timeouts = t.Over(f.timeouts)
		return nil, err
	case cmdNewService, cmdSetService, cmdDelService:
		return nil, f.service(cmd, attrs)
	case cmdNewDest, cmdSetDest, cmdDelDest:
		return nil, f.dest(cmd, attrs)
	case cmdNewDaemon, cmdDelDaemon:
		return nil, f.daemon(cmd, attrs)
	case cmdGetDaemon:
		return f.running()
	case cmdZero:
		return nil, nil
	}
	return nil, syscall.EOPNOTSUPP
}

func (f *fake) get(dump bool, attrs []byte) (out [][]byte, err error) {
	var only lvs.ServiceKey
	if !dump {
		s, err := serviceIn(attrs)
		if err != nil {
			return nil, err
		}
		only = s.Key
	}
	for _, s := range f.table {
		if !dump && s.Key != only {
			continue
		}
		b, err := encode(func(e *netlink.AttributeEncoder) {
			nested(e, attrService, func(n *netlink.AttributeEncoder) { encodeService(n, s) })
		})
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	if !dump && out == nil {
		return nil, syscall.ESRCH
	}
	return out, nil
}

func (f *fake) dests(attrs []byte) (out [][]byte, err error) {
	s, err := serviceIn(attrs)
	if err != nil {
		return nil, err
	}
	i := f.find(s.Key)
	if i < 0 {
		return nil, nil
	}
	for _, d := range f.table[i].Destinations {
		b, err := encode(func(e *netlink.AttributeEncoder) {
			nested(e, attrDest, func(n *netlink.AttributeEncoder) { encodeDest(n, d) })
		})
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// daemon starts or ends a sync daemon on the one interface there is.
func (f *fake) daemon(cmd uint8, attrs []byte) error {
	inner, err := part(attrs, attrDaemon)
	if err != nil {
		return err
	}
	d, err := decodeSync(inner)
	if err != nil {
		return err
	}
	_, runs := f.daemons[d.Role]
	switch {
	case cmd == cmdDelDaemon && !runs:
		return syscall.ESRCH
	case cmd == cmdDelDaemon && f.deaf && f.stuck:
		return os.ErrDeadlineExceeded
	case cmd == cmdDelDaemon:
		delete(f.daemons, d.Role)
		if f.deaf {
			return os.ErrDeadlineExceeded
		}
		return nil
	case d.Interface != "eth0":
		return syscall.ENODEV
	case runs:
		return syscall.EEXIST
	}
	if d.MaxLength == 0 {
		d.MaxLength = 1472
	}
	if f.daemons == nil {
		f.daemons = map[lvs.SyncRole]lvs.SyncDaemon{}
	}
	f.daemons[d.Role] = d
	return nil
}

func (f *fake) running() (out [][]byte, err error) {
	for _, d := range f.daemons {
		b, err := encode(func(e *netlink.AttributeEncoder) {
			nested(e, attrDaemon, func(n *netlink.AttributeEncoder) { encodeSync(n, d) })
		})
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

func (f *fake) find(k lvs.ServiceKey) int {
	return slices.IndexFunc(f.table, func(s lvs.Service) bool { return s.Key == k })
}

func (f *fake) service(cmd uint8, attrs []byte) error {
	s, err := serviceIn(attrs)
	if err != nil {
		return err
	}
	f.said = append(f.said, fmt.Sprintf("%d %s", cmd, s.Key))
	i := f.find(s.Key)
	switch {
	case cmd == cmdNewService && i >= 0:
		return syscall.EEXIST
	case cmd != cmdNewService && i < 0:
		return syscall.ESRCH
	case cmd != cmdDelService && s.Scheduler == f.lacks:
		return syscall.ENOENT
	case cmd == cmdNewService:
		f.table = append(f.table, s.Service)
	case cmd == cmdSetService:
		s.Destinations = f.table[i].Destinations
		f.table[i] = s.Service
	default:
		f.table = slices.Delete(f.table, i, i+1)
	}
	return nil
}

func (f *fake) dest(cmd uint8, attrs []byte) error {
	s, err := serviceIn(attrs)
	if err != nil {
		return err
	}
	inner, err := part(attrs, attrDest)
	if err != nil {
		return err
	}
	d, err := decodeDest(inner, s.Key.AF())
	if err != nil {
		return err
	}
	f.said = append(f.said, fmt.Sprintf("%d %s %s", cmd, s.Key, d.Addr))
	i := f.find(s.Key)
	if i < 0 {
		return syscall.ESRCH
	}
	list := &f.table[i].Destinations
	j := slices.IndexFunc(*list, func(o lvs.Destination) bool { return o.Addr == d.Addr })
	switch {
	case cmd == cmdNewDest && j >= 0:
		return syscall.EEXIST
	case cmd != cmdNewDest && j < 0:
		return syscall.ENOENT
	case cmd != cmdDelDest && d.Lower > d.Upper:
		return syscall.ERANGE
	case cmd == cmdNewDest:
		*list = slices.Insert(*list, 0, d.Destination)
	case cmd == cmdSetDest:
		(*list)[j] = d.Destination
	default:
		*list = slices.Delete(*list, j, j+1)
	}
	return nil
}

// newFake is a plane over a fake kernel.
func newFake(t *testing.T) (*Plane, *fake) {
	t.Helper()
	f := &fake{timeouts: lvs.DefaultTuning().Timeouts, lacks: "absent"}
	return reopen(t, t.TempDir()+"/ipvs", f), f
}

// reopen is the weir after the one before, which was killed.
func reopen(t *testing.T, record string, f *fake) *Plane {
	t.Helper()
	in, err := here()
	if err != nil {
		t.Fatal(err)
	}
	p, err := open(Options{Record: record}, in, f, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // the test may have
	return p
}
