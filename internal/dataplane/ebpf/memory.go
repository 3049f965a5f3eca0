package ebpf

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// scan reads a memory-mapped array entry by entry, a chunk at a time, until
// see says no. Entries may change while they are read; a caller must be able
// to live with each as it was at some moment.
func scan[T any](m *ebpf.Map, see func(index uint32, v *T) bool) error {
	mem, err := m.Memory()
	if err != nil {
		return fmt.Errorf("map the memory of %s: %w", m, err)
	}
	const chunk = 1024
	buf := make([]T, chunk)
	size := unsafe.Sizeof(buf[0])
	for first := uint32(0); first < m.MaxEntries(); first += chunk {
		n := min(chunk, m.MaxEntries()-first)
		raw := unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), uintptr(n)*size)
		if _, err := mem.ReadAt(raw, int64(uintptr(first)*size)); err != nil {
			return fmt.Errorf("read %s: %w", m, err)
		}
		for i := range n {
			if !see(first+i, &buf[i]) {
				return nil
			}
		}
	}
	return nil
}
