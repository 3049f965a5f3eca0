package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Observation is what one body made of a scenario.
type Observation struct {
	Scenario string
	Body     string // ip_vs, weir tc, weir xdp
	Trouble  string // what kept the scenario from running
	Steps    []Seen
}

// Seen is what followed one step.
type Seen struct {
	At           time.Duration // since the scenario began, when the step was done
	Frames       []Frame
	Connections  []Connection
	Destinations []string // one line each, services sorted, destinations in list order
	Counters     []string
}

// A Frame is an IP packet the director sent.
type Frame struct {
	To    string // wire: client, rs1 …
	Bytes []byte
}

// A Connection is one line of the listing. Left is in seconds.
type Connection struct {
	What string // "TCP client:1025 vip:80 rs1:80 SYN_RECV"
	Left int
}

// Compare says in words where two bodies differ; empty if they agree.
func Compare(s Scenario, a, b Observation) string {
	var out strings.Builder
	if a.Trouble != "" || b.Trouble != "" {
		fmt.Fprintf(&out, "%s: %s\n%s: %s\n", a.Body, a.Trouble, b.Body, b.Trouble)
		return out.String()
	}
	for i, st := range s.Steps {
		if i >= len(a.Steps) || i >= len(b.Steps) {
			fmt.Fprintf(&out, "line %d was not reached\n", st.Line)
			break
		}
		la, lb := s.Place.lines(a.Steps[i], b.Steps[i], tolerance(a.Steps[:i+1], b.Steps[:i+1]))
		if d := diff(la, lb); len(d) > 0 {
			fmt.Fprintf(&out, "line %d: %s\n", st.Line, st.Text)
			for _, l := range d {
				fmt.Fprintf(&out, "  %-8s %s\n", map[byte]string{'-': a.Body, '+': b.Body, ' ': "both"}[l[0]], l[1:])
			}
		}
	}
	return out.String()
}

// tolerance is how many seconds timers looked at in the last step may differ:
// one, and as many as one body took longer from some step to this one.
func tolerance(a, b []Seen) int {
	last, most := len(a)-1, time.Duration(0)
	for i := range a {
		d := (a[last].At - a[i].At) - (b[last].At - b[i].At)
		most = max(most, d, -d)
	}
	return 1 + int(most.Round(time.Second)/time.Second)
}

// lines writes both down. Timers that agree are written alike, and so are
// packets of equal bytes; where only bytes differ they are shown.
func (p Place) lines(a, b Seen, tolerance int) (la, lb []string) {
	la, lb = p.frames(a.Frames), p.frames(b.Frames)
	if slices.Equal(la, lb) {
		for i := range a.Frames {
			x, y := masked(a.Frames[i].Bytes), masked(b.Frames[i].Bytes)
			if !bytes.Equal(x, y) {
				la[i] += fmt.Sprintf(" %x", x)
				lb[i] += fmt.Sprintf(" %x", y)
			}
		}
	}
	left := make(map[string]int)
	for _, c := range a.Connections {
		left[c.What] = c.Left
	}
	show := func(c Connection, n int) string { return fmt.Sprintf("connection %s, about %d s", c.What, (n+4)/5*5) }
	for _, c := range a.Connections {
		la = append(la, show(c, c.Left))
	}
	for _, c := range b.Connections {
		n, there := left[c.What]
		if !there || max(n-c.Left, c.Left-n) > tolerance {
			n = c.Left
			if there && (n+4)/5 == (left[c.What]+4)/5 {
				n += 5 // different, and must look so
			}
		}
		lb = append(lb, show(c, n))
	}
	la = append(append(la, a.Destinations...), a.Counters...)
	lb = append(append(lb, b.Destinations...), b.Counters...)
	return la, lb
}

func (p Place) frames(all []Frame) (out []string) {
	for _, f := range all {
		out = append(out, f.To+" gets "+p.Words(masked(f.Bytes)))
	}
	return out
}

// masked is a packet without what one kernel chooses differently each time:
// the identification of an IPv4 packet the director itself made, and the
// source port of GUE. For an ICMP packet DF goes with it (RFC 6864). Checksums
// are kept true to themselves.
func masked(b []byte) []byte {
	b = slices.Clone(b)
	h, ok := headers(b)
	if !ok || h.badSum {
		return b
	}
	if h.gue() {
		h.maskSource()
	}
	if b[0]>>4 != 4 {
		return b
	}
	switch {
	case h.protocol == protoICMP && h.ttl == 64: // its hop count is still whole
		clear(b[4:8])
	case h.protocol == protoIPIP || h.protocol == protoIPv6 || h.protocol == protoGRE || h.gue(): // it wrapped it
		clear(b[4:6])
	default:
		return b
	}
	clear(b[10:12])
	binary.BigEndian.PutUint16(b[10:], ^sum(0, b[:len(b)-len(h.body)]))
	return b
}

// maskSource takes the source port out of a GUE packet if it is one the kernel
// would choose, and out of its checksum.
func (h header) maskSource() {
	port := binary.BigEndian.Uint16(h.body)
	if port < 32768 || port >= 60999 {
		return
	}
	clear(h.body[:2])
	if check := binary.BigEndian.Uint16(h.body[6:]); check != 0 {
		binary.BigEndian.PutUint16(h.body[6:], ^sum(uint32(^check)+uint32(^port), nil))
	}
}

// diff is the shortest list of lines that are in one only ("-", "+"), with
// those of both (" ") between them; nil if all are in both.
func diff(a, b []string) (out []string) {
	if slices.Equal(a, b) {
		return nil
	}
	// longest[i][j]: common lines of a[i:] and b[j:].
	longest := make([][]int, len(a)+1)
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, " "+a[i])
			i++
			j++
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, "-"+a[i])
			i++
		default:
			out = append(out, "+"+b[j])
			j++
		}
	}
	return out
}
