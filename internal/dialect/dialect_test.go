package dialect

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestNames(t *testing.T) {
	known := Names{
		Host: func(name string, family lvs.Family) (netip.Addr, error) {
			if name == "mapped" {
				return netip.MustParseAddr("::ffff:10.0.0.1"), nil
			}
			return netip.Addr{}, errors.New("no such host")
		},
		Port: func(name, protocol string) (uint16, error) {
			if name == "http" && protocol == "tcp" {
				return 80, nil
			}
			return 0, errors.New("no")
		},
	}
	for _, c := range []struct {
		names  Names
		text   string
		family lvs.Family
		want   string // an address, or the beginning of the error
	}{
		{Names{}, "www", lvs.IPv4, `"www" is no address`},
		{Names{}, "", lvs.IPv4, `"" is no address`},
		{known, "www", lvs.IPv6, `host "www" has no IPv6 address: no such host`},
		{known, "10.0.0.1", lvs.IPv6, "10.0.0.1 is no IPv6 address"},
		{known, "::1", lvs.IPv4, "::1 is no IPv4 address"},
		{known, "mapped", lvs.IPv4, "10.0.0.1"},
		{Names{}, "10.0.0.1", lvs.IPv4, "10.0.0.1"},
		{Names{}, "2001:db8::1", lvs.IPv6, "2001:db8::1"},
	} {
		a, err := c.names.Address(c.text, c.family)
		if have := outcome(a.String(), err); !strings.HasPrefix(have, c.want) {
			t.Errorf("%q: want %s, have %s", c.text, c.want, have)
		}
	}
	for _, c := range []struct{ text, protocol, want string }{
		{"", "tcp", `"" is no port`},
		{"65536", "tcp", "port 65536 is above 65535"},
		{"http", "udp", `no udp port is named "http"`},
		{"http", "tcp", "80"},
		{"0", "tcp", "0"},
	} {
		p, err := known.PortNumber(c.text, c.protocol)
		if have := outcome(netip.AddrPortFrom(netip.IPv4Unspecified(), p).String()[8:], err); !strings.HasPrefix(have, c.want) {
			t.Errorf("%q: want %s, have %s", c.text, c.want, have)
		}
	}
}

func outcome(value string, err error) string {
	if err != nil {
		return err.Error()
	}
	return value
}

func TestCursor(t *testing.T) {
	c := Cursor{Rest: ` word, "a \"b\"" "open`}
	if !c.Blanks() || c.Blanks() {
		t.Error("blanks")
	}
	if w := c.While(func(b byte) bool { return b != ',' }); w != "word" || !c.Take(",") || c.Take(",") {
		t.Errorf("word %q, rest %q", w, c.Rest)
	}
	c.Blanks()
	if s, ok := c.Quoted(); !ok || s != `a \"b\"` {
		t.Errorf("quoted %q", s)
	}
	c.Blanks()
	if s, ok := c.Quoted(); ok || c.Rest != `"open` {
		t.Errorf("an open quote gives %q and leaves %q", s, c.Rest)
	}
	if c.Done() || c.Word() != `"open` || !c.Done() {
		t.Error("done")
	}
}

func TestLines(t *testing.T) {
	lines := Lines("f", []byte("a\n\nb\r\nc"))
	if len(lines) != 4 || lines[2].Text != "b\r" || lines[3].Place.Line != 4 || lines[3].Text != "c" {
		t.Errorf("have %+v", lines)
	}
	if n := len(Lines("f", nil)); n != 0 {
		t.Errorf("an empty file has %d lines", n)
	}
}
