package local

import (
	"bytes"
	"iter"

	"github.com/vishvananda/netlink/nl"
)

// attributes walks netlink attributes; it ends where they stop making sense.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	const header, align, flags = 4, 4, 0xc000 // nested, network order
	order := nl.NativeEndian()
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= header {
			size := int(order.Uint16(b))
			if size < header || size > len(b) {
				return
			}
			if !yield(order.Uint16(b[2:])&^flags, b[header:size]) {
				return
			}
			b = b[min((size+align-1)&^(align-1), len(b)):]
		}
	}
}

// text is a name that may end in a zero byte.
func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
