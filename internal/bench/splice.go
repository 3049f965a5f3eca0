package bench

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// A subject is a program behind a dispatcher, ready to be run.
type subject struct {
	*ebpf.Program
	dispatch *ebpf.Variable
	close    func()
}

// doorNames are the suffixes of the dispatchers and floors of bench.bpf.c.
var doorNames = map[bool]string{true: "xdp", false: "tc"}

// splice builds the dispatcher of one door around a program's unmodified
// instructions, which see the maps they were dissected with.
func splice(xdp bool, p dataplane.Dissected) (*subject, error) {
	spec, err := loadDispatcher()
	if err != nil {
		return nil, fmt.Errorf("read the dispatcher: %w", err)
	}
	front := spec.Programs["bench_"+doorNames[xdp]]
	at := slices.IndexFunc(front.Instructions, func(i asm.Instruction) bool { return i.Symbol() == "under_test" })
	if at < 0 {
		return nil, errors.New("the dispatcher calls no program under test; run make generate")
	}
	body, err := associated(p)
	if err != nil {
		return nil, err
	}
	front.Instructions = append(front.Instructions[:at:at], body...)
	spec.Programs = map[string]*ebpf.ProgramSpec{front.Name: front}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load %s behind the dispatcher: %w", p.Program.Name, err)
	}
	return &subject{coll.Programs[front.Name], coll.Variables["bench"], coll.Close}, nil
}

// associated are the instructions of a program with their maps filled in.
func associated(p dataplane.Dissected) (asm.Instructions, error) {
	body := p.Program.Copy().Instructions
	body[0] = body[0].WithSymbol("under_test")
	for i := range body {
		ins := &body[i]
		if !ins.IsLoadFromMap() || ins.Reference() == "" || p.Maps == nil {
			continue
		}
		m := p.Maps[ins.Reference()]
		if m == nil {
			return nil, fmt.Errorf("%s names a map %s that was not loaded", p.Program.Name, ins.Reference())
		}
		if err := ins.AssociateMap(m); err != nil {
			return nil, fmt.Errorf("%s: map %s: %w", p.Program.Name, ins.Reference(), err)
		}
	}
	return body, nil
}

// floor is a program that only looks at the packet's headers, and if `head`
// makes room for another one, behind the same dispatcher.
func floor(xdp, head bool) (*subject, error) {
	spec, err := loadDispatcher()
	if err != nil {
		return nil, fmt.Errorf("read the dispatcher: %w", err)
	}
	name := "floor_"
	if head {
		name += "head_"
	}
	return splice(xdp, dataplane.Dissected{Program: spec.Programs[name+doorNames[xdp]]})
}
