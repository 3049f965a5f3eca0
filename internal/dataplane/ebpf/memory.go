package ebpf

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// fill writes entries of an array that nobody reads yet, in a row.
func fill[T any](p *Plane, name string, first uint32, values []T) error {
	if len(values) == 0 {
		return nil
	}
	m := p.engine.maps[name]
	mem, err := m.Memory()
	if err != nil {
		return fmt.Errorf("map the memory of %s: %w", m, err)
	}
	size := unsafe.Sizeof(values[0])
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), uintptr(len(values))*size)
	if err := p.wrote(name); err != nil {
		return err
	}
	if _, err := mem.WriteAt(raw, int64(uintptr(first)*size)); err != nil {
		return fmt.Errorf("write %s: %w", m, err)
	}
	return nil
}

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

// perCPU reads the first entries of a per-CPU array, many with one call.
func perCPU[T any](m *ebpf.Map, count uint32, see func(index uint32, per []T)) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count processors: %w", err)
	}
	const chunk = 4096
	keys, values := make([]uint32, chunk), make([]T, chunk*cpus)
	var cursor ebpf.MapBatchCursor
	for done := uint32(0); done < count; {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read %s: %w", m, err)
		}
		for i := range n {
			if keys[i] < count {
				see(keys[i], values[i*cpus:(i+1)*cpus])
			}
		}
		if done += uint32(n); n == 0 || err != nil {
			break
		}
	}
	return nil
}
