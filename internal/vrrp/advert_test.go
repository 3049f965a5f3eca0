package vrrp

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	left  = netip.MustParseAddr("10.7.0.1")
	right = netip.MustParseAddr("10.7.0.2")
	vip   = netip.MustParseAddr("10.7.0.100")
	left6 = netip.MustParseAddr("fe80::1")
	vip6  = netip.MustParseAddr("fe80::100")
)

// asEqual compares addresses as values.
var asEqual = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()}

// Bytes that Debian's keepalived sent: version 2 without authentication.
func TestAdvertAsKeepalivedSends(t *testing.T) {
	want := "2133960100013e5f0a070064" + strings.Repeat("00", 8)
	a := Advert{Version: 2, ID: 51, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{vip}}
	if got := hex.EncodeToString(a.Append(nil, left, Group4)); got != want {
		t.Errorf("wrote %s\n want %s", got, want)
	}
	b, _ := hex.DecodeString(want)
	got, err := ParseAdvert(b, left, Group4)
	if err != nil || cmp.Diff(a, got, asEqual) != "" {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestAdvertRoundTrip(t *testing.T) {
	for _, a := range []Advert{
		{Version: 2, ID: 1, Priority: 0, Interval: 255 * time.Second, Addresses: []netip.Addr{vip, right}, Password: "sec"},
		{Version: 2, ID: 1, Priority: 1, Interval: time.Second, Password: "12345678"},
		{Version: 3, ID: 255, Priority: 255, Interval: 10 * time.Millisecond, Addresses: []netip.Addr{vip}},
		{Version: 3, ID: 9, Priority: 100, Interval: 4095 * 10 * time.Millisecond, Addresses: []netip.Addr{vip6, left6}},
	} {
		from, to := left, right
		if len(a.Addresses) > 0 && a.Addresses[0].Is6() {
			from, to = left6, Group6
		}
		got, err := ParseAdvert(a.Append([]byte("before"), from, to)[len("before"):], from, to)
		if err != nil || cmp.Diff(a, got, asEqual) != "" {
			t.Errorf("%v came back as %v, %v", a, got, err)
		}
	}
}

func TestAdvertRefused(t *testing.T) {
	a := Advert{Version: 3, ID: 7, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{vip}}
	good := a.Append(nil, left, Group4)
	with := func(i int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[i] = v
		return b
	}
	a.Version = 2
	old := a.Append(nil, left, Group4)
	old[4] = 2 // an authentication header
	for name, test := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                {nil, errShort},
		"half a header":          {good[:7], errShort},
		"addresses missing":      {good[:8], errShort},
		"more addresses":         {with(3, 2), errShort},
		"fewer addresses":        {with(3, 0), errLength},
		"version 1":              {with(0, 0x11), errVersion},
		"version 4":              {with(0, 0x41), errVersion},
		"another type":           {with(0, 0x32), errType},
		"priority changed":       {with(2, 99), errChecksum},
		"address changed":        {with(11, 99), errChecksum},
		"authentication of old":  {old, errAuth},
		"something behind it":    {append(append([]byte(nil), good...), 1), errLength},
		"zeroes without end":     {append(append([]byte(nil), good...), make([]byte, 100)...), errLength},
		"password bytes missing": {old[:12], errShort},
	} {
		if _, err := ParseAdvert(test.b, left, Group4); err != test.want {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := ParseAdvert(append(append([]byte(nil), good...), make([]byte, 14)...), left, Group4); err != nil {
		t.Errorf("filled up by Ethernet: %v", err)
	}
}

// Old and foreign ways to sum version 3, each of which somebody sends.
func TestOtherSums(t *testing.T) {
	a := Advert{Version: 3, ID: 7, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{vip}}
	asGroup := a.Append(nil, left, Group4)
	if _, err := ParseAdvert(asGroup, left, right); err != nil {
		t.Errorf("summed for the group, sent to one peer: %v", err)
	}
	b := a.Append(nil, left, Group4)
	s := sum(b, 2, left, Group4) // without the addresses
	b[6], b[7] = byte(s>>8), byte(s)
	if _, err := ParseAdvert(b, left, Group4); err != nil {
		t.Errorf("summed without addresses: %v", err)
	}
}

func FuzzParseAdvert(f *testing.F) {
	a := Advert{Version: 3, ID: 7, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{vip}}
	f.Add(a.Append(nil, left, Group4))
	a.Version, a.Password = 2, "x"
	f.Add(a.Append(nil, left, Group4))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAdvert(b, left, Group4)
		if err != nil {
			return
		}
		if len(a.Addresses) != int(b[3]) || a.Interval > 255*time.Second || len(a.Password) > 8 {
			t.Errorf("%x reads as %v", b, a)
		}
		if _, err := ParseAdvert(a.Append(nil, left, Group4), left, Group4); err != nil && !strings.Contains(a.Password, "\x00") {
			t.Errorf("%v written again: %v", a, err)
		}
	})
}
