package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// Which helpers of the kernel a packet calls on its road says how much is done
// for it, on any machine and under any load. A copy of the program is made in
// which each call leaves a mark before it is made: register 0 is free there,
// since the call will overwrite it. A call in a loop leaves one mark.

// marks are the calls of a program, and which of them were made.
type marks struct {
	seen  *ebpf.Map
	calls []asm.BuiltinFunc
}

const markSize = 4

// marked is p with its calls marked.
func marked(p dataplane.Dissected) (dataplane.Dissected, *marks, error) {
	old := p.Program.Instructions
	m := &marks{}
	for _, ins := range old {
		if ins.IsBuiltinCall() {
			m.calls = append(m.calls, asm.BuiltinFunc(ins.Constant))
		}
	}
	var err error
	m.seen, err = ebpf.NewMap(&ebpf.MapSpec{Name: "marks", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(markSize * max(1, len(m.calls))), MaxEntries: 1})
	if err != nil {
		return p, nil, fmt.Errorf("make a map for marks: %w", err)
	}
	spec := p.Program.Copy()
	spec.Instructions, err = m.into(old)
	p.Program = spec
	return p, m, err
}

// into puts the marks before the calls and leads all jumps where they led.
func (m *marks) into(old asm.Instructions) (asm.Instructions, error) {
	var made asm.Instructions
	to := make(map[asm.RawInstructionOffset]asm.RawInstructionOffset) // of each instruction: where it is reached now
	at := make(map[int]asm.RawInstructionOffset)                      // of each new jump: where it stood
	var was, is asm.RawInstructionOffset
	n := 0
	for _, ins := range old {
		to[was] = is
		if ins.IsBuiltinCall() {
			mark := asm.Instructions{asm.LoadMapValue(asm.R0, m.seen.FD(), uint32(markSize*n)), asm.StoreImm(asm.R0, 0, 1, asm.Word)}
			// What jumps here, and what the kernel knows of this place, means the mark now.
			mark[0] = mark[0].WithMetadata(ins.Metadata)
			ins = ins.WithMetadata(asm.Metadata{})
			made = append(made, mark...)
			is += mark[0].Width() + mark[1].Width()
			n++
		}
		if jumps(ins) {
			at[len(made)] = was
		}
		made = append(made, ins)
		was += ins.Width()
		is += ins.Width()
	}
	return made, lead(made, at, to)
}

func jumps(ins asm.Instruction) bool {
	op := ins.OpCode.JumpOp()
	return op != asm.InvalidJumpOp && op != asm.Call && op != asm.Exit
}

// lead gives jumps their new distances.
func lead(made asm.Instructions, at map[int]asm.RawInstructionOffset, to map[asm.RawInstructionOffset]asm.RawInstructionOffset) error {
	var is asm.RawInstructionOffset
	for i := range made {
		is += made[i].Width()
		was, jump := at[i]
		if !jump || made[i].Reference() != "" {
			continue
		}
		target, ok := to[asm.RawInstructionOffset(int64(was)+1+int64(made[i].Offset))]
		if !ok {
			return fmt.Errorf("instruction %d jumps to where none begins", i)
		}
		distance := int64(target) - int64(is)
		if distance != int64(int16(distance)) {
			return fmt.Errorf("instruction %d would jump too far", i)
		}
		made[i].Offset = int16(distance)
	}
	return nil
}

// clear forgets which calls were made.
func (m *marks) clear() error { return m.seen.Put(uint32(0), make([]byte, m.seen.ValueSize())) }

// Calls are what a packet asks of the kernel: look-ups in maps, and the rest
// by name.
type Calls struct {
	Lookups int      `json:"lookups"`
	Helpers []string `json:"helpers"`
}

// made are the calls that left their mark.
func (m *marks) made() (c Calls, err error) {
	value, err := m.seen.LookupBytes(uint32(0))
	if err != nil {
		return c, fmt.Errorf("read marks: %w", err)
	}
	c.Helpers = []string{}
	for i, f := range m.calls {
		if !slices.Contains(value[i*markSize:(i+1)*markSize], 1) {
			continue
		}
		if f == asm.FnMapLookupElem {
			c.Lookups++
			continue
		}
		c.Helpers = append(c.Helpers, strings.TrimPrefix(f.String(), "Fn"))
	}
	slices.Sort(c.Helpers)
	return c, nil
}
