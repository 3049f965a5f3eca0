// Package dialect holds what the readers of foreign configuration files
// share: lines that know where they stand, a cursor over the words of a line,
// and the names a reader may have to ask for. The languages themselves have a
// folder each. Nothing here opens a file or asks a name server.
package dialect

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// Names answers what only the system knows: addresses of hosts and numbers of
// ports. A reader without them understands numbers only.
type Names struct {
	Host func(name string, family lvs.Family) (netip.Addr, error)
	Port func(name, protocol string) (uint16, error)
}

// Address is text as an address of the family: a number if it is one, else
// what the host of this name has.
func (n Names) Address(text string, family lvs.Family) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		if n.Host == nil {
			return netip.Addr{}, fmt.Errorf("%q is no address", text)
		}
		if a, err = n.Host(text, family); err != nil {
			return netip.Addr{}, fmt.Errorf("host %q has no IPv%d address: %w", text, family, err)
		}
	}
	if lvs.FamilyOf(a) != family {
		return netip.Addr{}, fmt.Errorf("%s is no IPv%d address", a, family)
	}
	return a.Unmap(), nil
}

// PortNumber is text as a port: a number if it is one, else that of the
// service of this name.
func (n Names) PortNumber(text, protocol string) (uint16, error) {
	if v, err := strconv.ParseUint(text, 10, 64); err == nil {
		if v > 65535 {
			return 0, fmt.Errorf("port %s is above 65535", text)
		}
		return uint16(v), nil
	}
	if n.Port == nil || text == "" {
		return 0, fmt.Errorf("%q is no port", text)
	}
	p, err := n.Port(text, protocol)
	if err != nil {
		return 0, fmt.Errorf("no %s port is named %q; write its number", protocol, text)
	}
	return p, nil
}

// A Line is one line of a file, without its end.
type Line struct {
	Place config.Place
	Text  string
}

// Lines cuts a file into lines. A carriage return before the end stays: to
// some languages it is part of the text.
func Lines(file string, text []byte) []Line {
	var out []Line
	rest := string(text)
	for n := 1; rest != ""; n++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		out = append(out, Line{Place: config.Place{File: file, Line: n}, Text: line})
	}
	return out
}

// A Cursor reads a line from left to right.
type Cursor struct{ Rest string }

const blanks = " \t\r\v\f"

// Blanks passes over blanks and tells whether there were any.
func (c *Cursor) Blanks() bool {
	rest := strings.TrimLeft(c.Rest, blanks)
	moved := len(rest) < len(c.Rest)
	c.Rest = rest
	return moved
}

// Done tells whether nothing but blanks is left.
func (c *Cursor) Done() bool { return strings.Trim(c.Rest, blanks) == "" }

// Take passes over word if it comes next.
func (c *Cursor) Take(word string) bool {
	rest, ok := strings.CutPrefix(c.Rest, word)
	c.Rest = rest
	return ok
}

// While takes the characters that fit, as many as there are.
func (c *Cursor) While(fits func(byte) bool) string {
	i := 0
	for i < len(c.Rest) && fits(c.Rest[i]) {
		i++
	}
	out := c.Rest[:i]
	c.Rest = c.Rest[i:]
	return out
}

// Word takes everything up to the next blank.
func (c *Cursor) Word() string {
	return c.While(func(b byte) bool { return strings.IndexByte(blanks, b) < 0 })
}

// Quoted takes a text in double quotes; a quote after a backslash does not
// end it, and both stay as they are.
func (c *Cursor) Quoted() (string, bool) {
	if c.Rest == "" || c.Rest[0] != '"' {
		return "", false
	}
	for i := 1; i < len(c.Rest); i++ {
		switch c.Rest[i] {
		case '\\':
			i++
		case '"':
			out := c.Rest[1:i]
			c.Rest = c.Rest[i+1:]
			return out, true
		}
	}
	return "", false
}
