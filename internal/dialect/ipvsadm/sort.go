package ipvsadm

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// Sorted is the order of a listing. The original compares by the sign of a
// difference of 32 bits, so that what lies further apart than half of all
// addresses comes the wrong way round (192.168.0.1 before 10.0.0.1). Scripts
// that compare listings know it so.
func Sorted(entries []Entry, not bool) []Entry {
	if not {
		return entries
	}
	out := slices.Clone(entries)
	sortAs(out, func(a, b Entry) int { return compareServices(a.Service.Key, b.Service.Key) })
	return out
}

func sortedDestinations(ds []lvs.Destination) []lvs.Destination {
	out := slices.Clone(ds)
	sortAs(out, func(a, b lvs.Destination) int { return compareEndpoints(a.Addr, b.Addr) })
	return out
}

func compareServices(a, b lvs.ServiceKey) int {
	return cmp.Or(difference(a.Mark, b.Mark), cmp.Compare(a.AF(), b.AF()), cmp.Compare(a.Protocol, b.Protocol),
		compareEndpoints(a.Addr, b.Addr))
}

// compareEndpoints compares addresses word by word, whatever their families.
func compareEndpoints(a, b netip.AddrPort) int {
	x, y := wordsOf(a.Addr()), wordsOf(b.Addr())
	for i := range x {
		if c := difference(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Port(), b.Port())
}

// wordsOf is an address as the kernel's union holds it: IPv4 in the first word.
func wordsOf(a netip.Addr) (w [4]uint32) {
	if a.Is4() {
		raw := a.As4()
		w[0] = binary.BigEndian.Uint32(raw[:])
	} else if a.IsValid() {
		raw := a.As16()
		for i := range w {
			w[i] = binary.BigEndian.Uint32(raw[4*i:])
		}
	}
	return w
}

// difference is a - b in C's int.
func difference(a, b uint32) int { return int(int32(a - b)) }

// sortAs is the merge sort behind qsort of the C library (glibc before 2.37):
// by an order that goes in circles, as this one may, each way of sorting gives
// another result.
func sortAs[T any](s []T, compare func(a, b T) int) { mergeSort(s, make([]T, len(s)/2), compare) }

// mergeSort has room for half of s beside it.
func mergeSort[T any](s, room []T, compare func(a, b T) int) {
	if len(s) < 2 {
		return
	}
	half := len(s) / 2
	mergeSort(s[:half], room, compare)
	mergeSort(s[half:], room, compare)
	left, right := room[:copy(room, s[:half])], s[half:]
	for i := 0; len(left) > 0 && len(right) > 0; i++ {
		if compare(left[0], right[0]) <= 0 {
			s[i], left = left[0], left[1:]
		} else {
			s[i], right = right[0], right[1:]
		}
	}
	copy(s[len(s)-len(right)-len(left):], left) // what is left of the right is in its place
}
