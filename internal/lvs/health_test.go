package lvs

import (
	"net/netip"
	"slices"
	"testing"
)

func TestHealths(t *testing.T) {
	var at []netip.AddrPort
	for _, s := range []string{"10.0.0.2:80", "[2001:db8::1]:80", "10.0.0.1:80", "10.0.0.1:8"} {
		at = append(at, netip.MustParseAddrPort(s))
	}
	var all []DestinationHealth
	for _, a := range at[:3] {
		all = append(all, DestinationHealth{a, Health{Why: a.String()}})
	}
	hs := HealthsOf(all...)
	for _, a := range at[:3] {
		if h, known := hs.Get(a); !known || h.Why != a.String() {
			t.Errorf("%s: %+v, %t", a, h, known)
		}
	}
	if h, known := hs.Get(at[3]); known || h != (Health{}) || hs.At(at[3]) != h {
		t.Errorf("something is known of a stranger: %+v", h)
	}
	before := slices.Clone(hs)
	changed, more := hs.With(at[0], Health{Up: true}), hs.With(at[3], Health{Up: true})
	if !changed.At(at[0]).Up || len(changed) != 3 || !more.At(at[3]).Up || len(more) != 4 || more.At(at[2]).Why != at[2].String() {
		t.Errorf("changed %+v, more %+v", changed, more)
	}
	if !slices.Equal(hs, before) {
		t.Errorf("changed under those who were shown it: %+v", hs)
	}
}
