package metrics

import (
	"bufio"
	"net/netip"
	"strconv"
)

// Lines writes the metrics of one family in Prometheus's text format. A table of
// 10,000 services has a million of them, so that a line is put together from its
// pieces and nothing of it is kept: gathered as values of the library, they took
// longer than a scrape may.
type lines struct {
	w       *bufio.Writer
	name    string
	service string // its label
	line    []byte
}

// begin writes what stands before the lines.
func (l *lines) begin(h head) {
	l.name = h.name
	for _, word := range []string{"# HELP ", h.name, " ", h.help, "\n# TYPE ", h.name, " ", h.kind, "\n"} {
		_, _ = l.w.WriteString(word) // the first error stays, and Flush tells it
	}
}

// add writes one line. A service as a whole has no destination, and only
// packets and bytes have a direction. Neither has a character that would have to
// be escaped.
func (l *lines) add(destination netip.AddrPort, direction string, value uint64) {
	b := append(append(l.line[:0], l.name...), '{')
	if destination.IsValid() {
		b = append(destination.AppendTo(append(b, `destination="`...)), `",`...)
	}
	if direction != "" {
		b = append(append(append(b, `direction="`...), direction...), `",`...)
	}
	b = append(append(append(b, `service="`...), l.service...), `"} `...)
	b = append(strconv.AppendUint(b, value, 10), '\n')
	_, _ = l.w.Write(b)
	l.line = b
}
