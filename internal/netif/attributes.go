package netif

import (
	"iter"

	"github.com/vishvananda/netlink/nl"
)

// attributes walks the attributes of a netlink message (struct rtattr), and
// ends where they stop making sense. The library's own reader trusts the last
// one to be padded.
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
