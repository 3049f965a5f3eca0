package ebpf

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/netif/hook"
)

// sides are the tc programs and where they hang.
var sides = []struct {
	name string
	tcx  ebpf.AttachType
	side hook.Side
}{
	{progIngress, ebpf.AttachTCXIngress, hook.Ingress},
	{progEgress, ebpf.AttachTCXEgress, hook.Egress},
}

// useXDP decides whether these links get XDP.
func useXDP(m Mode, links []lvs.Link) bool {
	switch m {
	case XDP:
		return true
	case TC:
		return false
	}
	// One interface without XDP would make every packet that leaves through
	// it a case for tc; then tc may as well have them all.
	return len(links) > 0 && !slices.ContainsFunc(links, func(l lvs.Link) bool { return !l.XDP })
}

// attach hangs the programs on a link, in place of what an earlier weir hung
// there: egress first, so that no answer leaves unrewritten, XDP last, because
// it counts on tc behind it.
func (p *Plane) attach(l lvs.Link, xdp bool) error {
	old := hangingsOn(l.Index)
	for _, s := range slices.Backward(sides) {
		if err := p.attachTC(l.Index, s.name, s.tcx, s.side, old); err != nil {
			return fmt.Errorf("attach to %s: %w", l.Name, err)
		}
	}
	if !xdp {
		if slices.ContainsFunc(old, func(h hanging) bool { return h.name == progXDP }) {
			return hook.ClearXDP(l.Index)
		}
		return nil
	}
	if err := hook.SetXDP(l.Index, p.engine.program(progXDP).FD()); err != nil {
		return fmt.Errorf("attach XDP to %s (its driver must run XDP natively; otherwise set engine.mode to tc): %w", l.Name, err)
	}
	return nil
}

// attachTC prefers TCX, and falls back to a clsact filter where the kernel
// has none (before 6.6).
func (p *Plane) attachTC(ifindex int, name string, at ebpf.AttachType, side hook.Side, old []hanging) error {
	prog := p.engine.program(name)
	opts := link.RawAttachProgramOptions{Target: ifindex, Program: prog, Attach: at, Anchor: link.Head()}
	for _, h := range old {
		if h.name != name {
			continue
		}
		if !h.tcx {
			return hook.SetFilter(ifindex, side, hook.Engine, prog.FD(), name)
		}
		running, err := ebpf.NewProgramFromID(h.id)
		if err != nil {
			return fmt.Errorf("open program %d: %w", h.id, err)
		}
		defer running.Close()
		opts.Anchor = link.ReplaceProgram(running)
	}
	err := link.RawAttachProgram(opts)
	if errors.Is(err, ebpf.ErrNotSupported) || isInvalid(err) {
		return hook.SetFilter(ifindex, side, hook.Engine, prog.FD(), name)
	}
	return err
}

// detach takes weir's programs off an interface, XDP first.
func detach(ifindex int) error {
	var errs []error
	for _, h := range hangingsOn(ifindex) {
		if h.name == progXDP {
			errs = append(errs, hook.ClearXDP(ifindex))
		}
	}
	for _, h := range hangingsOn(ifindex) {
		for _, s := range sides {
			if s.name == h.name {
				errs = append(errs, detachTC(h, s.tcx, s.side))
			}
		}
	}
	return errors.Join(errs...)
}

func detachTC(h hanging, at ebpf.AttachType, side hook.Side) error {
	if !h.tcx {
		return hook.ClearFilter(h.ifindex, side, hook.Engine)
	}
	prog, err := ebpf.NewProgramFromID(h.id)
	if err != nil {
		return fmt.Errorf("open program %d: %w", h.id, err)
	}
	defer prog.Close()
	return link.RawDetachProgram(link.RawDetachProgramOptions{Target: h.ifindex, Program: prog, Attach: at})
}

// Running tells whether an engine hangs on interfaces of this network
// namespace.
func Running() (bool, error) {
	found, err := hangings()
	return len(found) > 0, err
}

// Remove takes the whole engine away from this network namespace: packets go
// on as if weir had never been there, connections are forgotten. It needs no
// running weir.
func Remove() error {
	found, err := hangings()
	if err != nil {
		return err
	}
	ifaces := make(map[int]bool)
	for _, h := range found {
		ifaces[h.ifindex] = true
	}
	var errs []error
	for _, i := range slices.Sorted(maps.Keys(ifaces)) {
		if err := detach(i); err != nil {
			errs = append(errs, fmt.Errorf("take the packet engine off interface %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}
