package realserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The kernel's own tunnel devices, and the family of their outer headers.
var kernelTakes = map[string]struct {
	method Method
	outer6 bool
}{
	"ipip": {IPIP, false}, "sit": {IPIP, false}, "ip6tnl": {IPIP, true}, "gre": {GRE, false}, "ip6gre": {GRE, true},
}

// kernelTunnels are the kernel's tunnel devices that are up.
func (f Facts) kernelTunnels() (list []Link) {
	for _, l := range f.Links {
		if _, known := kernelTakes[l.Kind]; known && l.Up {
			list = append(list, l)
		}
	}
	return list
}

// unwrapped are the names of devices by which the kernel takes all that the
// wish needs of this method; it is not complete if something is missing.
func (f Facts) unwrapped(w Wish, m Method) (names []string, complete bool) {
	outer4, outer6 := false, false
	for _, a := range f.outers(w) {
		outer4, outer6 = outer4 || a.Is4(), outer6 || a.Is6()
	}
	complete = true
	for _, outer := range []bool{false, true} {
		for _, inner := range []bool{false, true} {
			if outer && !outer6 || !outer && !outer4 || len(w.family(inner)) == 0 {
				continue
			}
			found := false
			for _, l := range f.kernelTunnels() {
				if k := kernelTakes[l.Kind]; k.method == m && k.outer6 == outer && (inner && l.Inner.IPv6 || !inner && l.Inner.IPv4) {
					found = true
					if !slices.Contains(names, l.Name) {
						names = append(names, l.Name)
					}
				}
			}
			complete = complete && found
		}
	}
	return names, complete
}

// wanted is how weir's program would be attached.
func (f Facts) wanted(w Wish) Unwrap {
	u := Unwrap{VIPs: slices.Clone(w.VIPs), Outers: f.outers(w), From: slices.Clone(w.From), IPIP: w.has(IPIP), GRE: w.has(GRE)}
	slices.SortFunc(u.VIPs, netip.Addr.Compare)
	slices.SortFunc(u.From, netip.Prefix.Compare)
	for _, l := range f.Arrivals(w) {
		if l.Ethernet && l.Up {
			u.Links = append(u.Links, l.Name)
		}
	}
	slices.Sort(u.Links)
	if w.has(GUE) {
		u.GUE = w.Port
		if u.GUE == 0 {
			u.GUE = DefaultPort
		}
	}
	return u
}

// String tells it in a line.
func (u Unwrap) String() string {
	var what []string
	if u.IPIP {
		what = append(what, "ipip")
	}
	if u.GUE != 0 {
		what = append(what, fmt.Sprintf("gue (UDP port %d)", u.GUE))
	}
	if u.GRE {
		what = append(what, "gre")
	}
	from := "anybody"
	if len(u.From) > 0 {
		from = join(u.From)
	}
	return fmt.Sprintf("%s on %s, from %s to %s, for %s", strings.Join(what, ", "), strings.Join(u.Links, ", "), from, join(u.Outers), join(u.VIPs))
}

func join[T fmt.Stringer](list []T) string {
	var words []string
	for _, x := range list {
		words = append(words, x.String())
	}
	return strings.Join(words, ", ")
}

// unwrapping: somebody must take the outer headers off. weir's program sees
// packets before the kernel's devices do, so it wins where both are there.
func unwrapping(w Wish, f Facts) []Requirement {
	if !w.tunnels() {
		return nil
	}
	want := f.wanted(w)
	r := Requirement{Name: "unwrapping", State: OK, Change: &Change{Unwrap: &want}, Fix: "weir realserver up " + w.String()}
	names, suffices := f.kernelSuffices(w)
	if suffices && f.Unwrap == nil {
		// The kernel does it; what weir did earlier is in its way no more.
		return []Requirement{{Name: "unwrapping", State: OK, Found: "by the kernel: " + strings.Join(names, ", ")}}
	}
	switch {
	case len(want.Links) == 0:
		r.State, r.Found, r.Change = Wrong, "no interface is up where tunnel packets could arrive", nil
	case len(want.Outers) == 0:
		r.State, r.Found, r.Change = Wrong, "this host has no address of its own to which a director could send tunnel packets", nil
	case f.Unwrap == nil:
		r.State, r.Found = Wrong, "nobody takes the tunnel headers off: "+f.kernelLacks(w)
	case !f.Unwrap.equal(want):
		r.State, r.Found = Wrong, "weir's program is attached, but to "+f.Unwrap.String()
	default:
		r.Found, r.Fix = "by weir: "+want.String(), ""
		if len(names) > 0 {
			r.Found += "; " + strings.Join(names, ", ") + " of the kernel gets what it leaves"
		}
	}
	return []Requirement{r}
}

func (f Facts) kernelSuffices(w Wish) (names []string, ok bool) {
	ok = !w.has(GUE) && len(w.From) == 0
	for _, m := range []Method{IPIP, GRE} {
		if w.has(m) {
			n, complete := f.unwrapped(w, m)
			names, ok = append(names, n...), ok && complete
		}
	}
	return names, ok && len(names) > 0
}

func (f Facts) kernelLacks(w Wish) string {
	names, _ := f.kernelSuffices(w)
	switch {
	case len(names) > 0:
		return "the kernel's " + strings.Join(names, ", ") + " takes only a part of it"
	case w.has(GUE):
		return "weir's program is not attached"
	}
	return "weir's program is not attached, and the kernel has no tunnel device that is up"
}
