package ldirectord

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

func hostByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || strings.IndexByte("._+-", b) >= 0
}

func portByte(b byte) bool { return hostByte(b) && b != '.' && b != '+' }

// host takes a host from the line: a name, an IPv4 address, or an IPv6
// address in brackets.
func host(c *dialect.Cursor) (text string, bracketed bool) {
	if c.Take("[") {
		text = c.While(func(b byte) bool { return b > ' ' && b != ']' })
		if !c.Take("]") {
			return "", true
		}
		return text, true
	}
	i := 0
	for i < len(c.Rest) && hostByte(c.Rest[i]) && !strings.HasPrefix(c.Rest[i:], "->") {
		i++
	}
	text, c.Rest = c.Rest[:i], c.Rest[i:]
	return text, false
}

// A head is what a virtual= line says before names are looked up.
type head struct {
	host, port string
	mark       uint32
	family     lvs.Family
}

var errHead = errors.New("want address:port or a firewall mark")

// parseHead reads the value of virtual or virtual6 and what stands behind it.
func parseHead(st statement) (h head, ignored string, err error) {
	c := dialect.Cursor{Rest: st.value}
	h.family = lvs.IPv4
	if st.name == "virtual6" {
		h.family = lvs.IPv6
	}
	text, bracketed := host(&c)
	if bracketed && h.family == lvs.IPv4 {
		return h, "", errors.New("an IPv6 address needs virtual6")
	}
	switch {
	case text == "":
		return h, "", errHead
	case c.Take(":"):
		h.host = text
		if h.port = c.While(portByte); h.port == "" {
			return h, "", errHead
		}
	case bracketed:
		return h, "", errHead
	default:
		if h.mark, err = parseMark(text); err != nil {
			return h, "", err
		}
	}
	return h, strings.TrimSpace(cutComment(c.Rest)), nil
}

func parseMark(text string) (uint32, error) {
	digits := leadingDigits(text)
	if digits == "" {
		return 0, errHead
	}
	if digits != text {
		return 0, fmt.Errorf("%s has no port; ldirectord would balance firewall mark %s here, write %s:PORT", text, digits, text)
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("firewall mark %s is out of range; from 1 to %d are possible", digits, uint32(1<<32-1))
	}
	return uint32(n), nil
}

// key is the virtual service of h once its protocol is known.
func (r *reader) key(h head, p lvs.Protocol) (lvs.ServiceKey, error) {
	if h.mark != 0 {
		return lvs.ServiceKey{Mark: h.mark, Family: h.family}, nil
	}
	a, err := r.names.Address(h.host, h.family)
	if err != nil {
		return lvs.ServiceKey{}, err
	}
	port, err := r.names.PortNumber(h.port, strings.ToLower(p.String()))
	if err != nil {
		return lvs.ServiceKey{}, err
	}
	return lvs.ServiceKey{Protocol: p, Addr: netip.AddrPortFrom(a, port)}, nil
}

// A fallback is a fallback server as it was written.
type fallback struct {
	st      statement
	addr    netip.Addr
	port    string // empty: the virtual service's
	forward lvs.Forwarding
}

// parseFallback reads host[:port] [method].
func (r *reader) parseFallback(st statement) (*fallback, error) {
	f := &fallback{st: st, forward: lvs.DirectRoute}
	family := lvs.IPv4
	if st.name == "fallback6" {
		family = lvs.IPv6
	}
	c := dialect.Cursor{Rest: st.value}
	text, bracketed := host(&c)
	if text == "" || bracketed != (family == lvs.IPv6) {
		return nil, fmt.Errorf("%s must be an IPv%d address or a host, with or without port", st.name, family)
	}
	var err error
	if f.addr, err = r.names.Address(text, family); err != nil {
		return nil, err
	}
	if c.Take(":") {
		if f.port = c.While(portByte); f.port == "" {
			return nil, fmt.Errorf("%s: the port is missing", st.name)
		}
	}
	if word := strings.TrimSpace(cutComment(c.Rest)); word != "" {
		if f.forward, err = lvs.ParseForwarding(word); err != nil {
			return nil, fmt.Errorf("%s: behind the address stands %q; only gate, masq or ipip may", st.name, word)
		}
	}
	return f, nil
}

// globalFallbacks reads the global fallback servers and asks for their ports
// right away, as the original does.
func (r *reader) globalFallbacks() {
	r.fallback = map[string]*fallback{}
	for _, st := range []*statement{r.settings.fallback, r.settings.fallback6} {
		if st == nil {
			continue
		}
		f, err := r.parseFallback(*st)
		if err == nil && f.port != "" {
			_, err = r.names.PortNumber(f.port, "tcp")
		}
		if err != nil {
			r.errorf(*st, "%v", err)
			continue
		}
		if _, err := r.names.PortNumber(f.port, "udp"); f.port != "" && err != nil {
			r.warnf(*st, "port %s of %s is known for tcp only; ldirectord wants both tcp and udp and refuses the line, weir takes it for TCP", f.port, st.name)
		}
		if strings.Contains(st.value, "#") {
			r.warnf(*st, "ldirectord knows no comments behind a global %s and would refuse the line; weir leaves the comment out", st.name)
		}
		r.fallback[st.name] = f
	}
}
