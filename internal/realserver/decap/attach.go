package decap

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/weir-lb/weir/internal/netif/hook"
	"github.com/weir-lb/weir/internal/realserver"
)

// program is its name in the kernel, by which it is found again.
const program = "weir_decap"

// A hanging is the program on an interface.
type hanging struct {
	ifindex int
	id      ebpf.ProgramID
	tcx     bool // else a clsact filter, before Linux 6.6
}

// Attach puts the program on the interfaces it names, with one set of maps, in
// place of what hangs there; where else it hung it is taken off afterwards. A
// packet meets the old program or the new one.
func Attach(u realserver.Unwrap) error {
	old, err := hangings()
	if err != nil {
		return err
	}
	coll, err := load(u)
	if err != nil {
		return err
	}
	defer coll.Close()
	there := map[int]bool{}
	for _, name := range u.Links {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
		if err := attach(i.Index, coll.Programs[program], old); err != nil {
			return fmt.Errorf("attach to %s: %w", name, err)
		}
		there[i.Index] = true
	}
	for _, h := range old {
		if !there[h.ifindex] {
			if err := detach(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// attach puts the program behind all others: what a director on this host
// forwards is not unwrapped.
func attach(ifindex int, prog *ebpf.Program, old []hanging) error {
	o := link.RawAttachProgramOptions{Target: ifindex, Program: prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Tail()}
	for _, h := range old {
		if h.ifindex != ifindex {
			continue
		}
		if !h.tcx {
			return hook.SetFilter(ifindex, hook.Ingress, hook.Decap, prog.FD(), program)
		}
		running, err := ebpf.NewProgramFromID(h.id)
		if err != nil {
			return fmt.Errorf("open program %d: %w", h.id, err)
		}
		defer running.Close()
		o.Anchor = link.ReplaceProgram(running)
	}
	err := link.RawAttachProgram(o)
	if err != nil && !tcx() {
		return hook.SetFilter(ifindex, hook.Ingress, hook.Decap, prog.FD(), program)
	}
	return err
}

// tcx tells whether the kernel has it: then it knows how to list its programs.
func tcx() bool {
	ifaces, err := net.Interfaces()
	if err != nil || len(ifaces) == 0 {
		return false
	}
	_, err = link.QueryPrograms(link.QueryOptions{Target: ifaces[0].Index, Attach: ebpf.AttachTCXIngress})
	return err == nil
}

func detach(h hanging) error {
	if !h.tcx {
		return hook.ClearFilter(h.ifindex, hook.Ingress, hook.Decap)
	}
	prog, err := ebpf.NewProgramFromID(h.id)
	if err != nil {
		return fmt.Errorf("open program %d: %w", h.id, err)
	}
	defer prog.Close()
	return link.RawDetachProgram(link.RawDetachProgramOptions{Target: h.ifindex, Program: prog, Attach: ebpf.AttachTCXIngress})
}

// Remove takes the program off every interface of this network namespace.
func Remove() error {
	found, err := hangings()
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range found {
		if err := detach(h); err != nil {
			errs = append(errs, fmt.Errorf("take the unwrapping program off interface %d: %w", h.ifindex, err))
		}
	}
	return errors.Join(errs...)
}

func hangings() ([]hanging, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var found []hanging
	add := func(ifindex int, id ebpf.ProgramID, tcx bool) {
		if nameOf(id) == program {
			found = append(found, hanging{ifindex, id, tcx})
		}
	}
	// An interface that goes away meanwhile has nothing to find.
	for _, i := range ifaces {
		if q, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXIngress}); err == nil {
			for _, p := range q.Programs {
				add(i.Index, p.ID, true)
			}
		}
		ids, _ := hook.Filters(i.Index, hook.Ingress)
		for _, id := range ids {
			add(i.Index, ebpf.ProgramID(id), false)
		}
	}
	return found, nil
}

func nameOf(id ebpf.ProgramID) string {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}
