// Package realserver knows what a real server needs so that it takes what a
// director sends by gate or through a tunnel: which addresses, which settings,
// who unwraps. It compares that with how a host is, says what is wrong and how
// to put it right, line by line.
//
// It only reads facts it is given. Rooms around it collect them and do what it
// says: netif/local, realserver/decap, realserver/host.
package realserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Method is how the director forwards packets to this host.
type Method string

// The methods. Masquerading needs nothing here but a route back.
const (
	Gate Method = "gate"
	IPIP Method = "ipip"
	GUE  Method = "gue"
	GRE  Method = "gre"
)

// Methods are all of them.
var Methods = []Method{Gate, IPIP, GUE, GRE}

// DefaultPort is the UDP port of GUE (IANA).
const DefaultPort = 6080

// A Wish is what a host shall be ready for.
type Wish struct {
	VIPs       []netip.Addr   `json:"vips"`
	Methods    []Method       `json:"methods"`
	Port       uint16         `json:"port,omitempty"`       // of gue
	Interfaces []string       `json:"interfaces,omitempty"` // where the director's packets arrive; none: any Ethernet-like one
	From       []netip.Prefix `json:"from,omitempty"`       // who may send tunnel packets; none: anybody
}

// Check finds what no host could be ready for, all of it at once.
func (w Wish) Check() error {
	var errs []error
	if len(w.VIPs) == 0 {
		errs = append(errs, errors.New("no virtual address; name each with --vip"))
	}
	for i, a := range w.VIPs {
		switch {
		case !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4In6():
			errs = append(errs, fmt.Errorf("--vip %s: not an address that clients can reach", a))
		case slices.Contains(w.VIPs[:i], a):
			errs = append(errs, fmt.Errorf("--vip %s: named twice", a))
		}
	}
	if len(w.Methods) == 0 {
		errs = append(errs, errors.New("no method; say --method gate, ipip, gue or gre"))
	}
	for _, m := range w.Methods {
		if !slices.Contains(Methods, m) {
			errs = append(errs, fmt.Errorf("--method %q: use gate, ipip, gue or gre; masq needs nothing but a route back through the director", string(m)))
		}
	}
	if w.Port != 0 && !w.has(GUE) {
		errs = append(errs, fmt.Errorf("--port %d: only gue has a port", w.Port))
	}
	if len(w.From) > 0 && !w.tunnels() {
		errs = append(errs, errors.New("--from: only tunnels look at the sender"))
	}
	return errors.Join(errs...)
}

func (w Wish) has(m Method) bool { return slices.Contains(w.Methods, m) }

func (w Wish) tunnels() bool { return w.has(IPIP) || w.has(GUE) || w.has(GRE) }

func (w Wish) family(v6 bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(w.VIPs), func(a netip.Addr) bool { return a.Is6() != v6 })
}

// String is the wish as words of the command line.
func (w Wish) String() string {
	var b strings.Builder
	for _, a := range w.VIPs {
		fmt.Fprintf(&b, " --vip %s", a)
	}
	for _, m := range w.Methods {
		fmt.Fprintf(&b, " --method %s", m)
	}
	if w.Port != 0 {
		fmt.Fprintf(&b, " --port %d", w.Port)
	}
	for _, i := range w.Interfaces {
		fmt.Fprintf(&b, " --interface %s", i)
	}
	for _, p := range w.From {
		fmt.Fprintf(&b, " --from %s", p)
	}
	return strings.TrimPrefix(b.String(), " ")
}
