package client

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/weir-lb/weir/internal/lvs"
)

// filled has something in every field of a service.
func filled() Service {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	counters, rates := lvs.Counters{Connections: 1, InPackets: 2, InBytes: 3, OutPackets: 4, OutBytes: 5}, lvs.Rates{Connections: 6, InPackets: 7, InBytes: 8, OutPackets: 9, OutBytes: 10}
	d := Destination{DestinationSpec: DestinationSpec{Destination: "[2001:db8::1]:80", Forward: "gue", Weight: 11, Upper: 12, Lower: 13, TunnelPort: 14, TunnelSum: "csum"},
		Installed: true, Health: "down", Reason: "refused", Why: "connection refused", Since: &now, Active: 15, Inactive: 16, Templates: 17, Counters: counters, Rates: rates}
	return Service{ServiceSpec: ServiceSpec{Service: "-u [2001:db8::9]:53", Scheduler: "sh", Flags: 3, Persistence: 18, Mask: netip.MustParseAddr("ffff:ffff::"), Engine: "sip", OnePacket: true},
		Tag: "a1", ByHand: "changed", Fallback: true, Counters: counters, Rates: rates, Destinations: []Destination{d, {DestinationSpec: DestinationSpec{Destination: "10.0.0.1:80"}}}}
}

// TestScanned: what weir writes is scanned, not left to the library. Who adds a
// field adds it to the scan, too.
func TestScanned(t *testing.T) {
	full, bare := filled(), Service{Destinations: []Destination{}}
	const seldom = "Order"
	for _, v := range []any{full.ServiceSpec, full, full.Destinations[0].DestinationSpec, full.Destinations[0], full.Counters, full.Rates} {
		for i, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if reflect.ValueOf(v).FieldByIndex(f.Index).IsZero() && f.Name != seldom {
				t.Errorf("%T: field %d, %s, is empty here", v, i, f.Name)
			}
		}
	}
	turned := full
	turned.Destinations = []Destination{full.Destinations[1], full.Destinations[0]}
	s := Service{} // each in the memory of the one before
	for _, want := range []Service{bare, full, turned, bare, full} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if !scanService(text, &s) || !reflect.DeepEqual(s, want) {
			t.Errorf("%s\nis scanned as %+v", text, s)
		}
	}
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { scanService(text, &s) }); n > 20 {
		t.Errorf("%.0f allocations for a service that is as the one before", n)
	}
}

// TestScanIsNeverWrong: whatever is scanned, the library reads the same. (Moments
// aside, of which it takes fewer.)
func TestScanIsNeverWrong(t *testing.T) {
	service := filled()
	service.Destinations[0].Since = nil
	good, err := json.Marshal(service)
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 30_000 {
		text := append([]byte{}, good...)
		for range 1 + dice.IntN(2) {
			at := dice.IntN(len(text))
			switch b := []byte(`"\,:{}[]0129 -e.é`)[dice.IntN(17)]; dice.IntN(3) {
			case 0:
				text[at] = b
			case 1:
				text = append(text[:at], text[at+1:]...)
			default:
				text = append(text[:at], append([]byte{b}, text[at:]...)...)
			}
		}
		var s, want Service
		if !scanService(text, &s) {
			continue
		}
		taken++
		if err := jsonv2.Unmarshal(text, &want); err != nil || !reflect.DeepEqual(s, want) {
			t.Fatalf("%s\nis scanned as %+v\nwant %+v, %v", text, s, want, err)
		}
	}
	if taken == 0 {
		t.Error("nothing was scanned")
	}
	for _, much := range []string{`"flags":256`, `"flags":03`, `"flags":-3`, `"flags":`, `"flags":3.0`, `"flags":18446744073709551619`} {
		text := strings.Replace(string(good), `"flags":3`, much, 1)
		if s := (Service{}); scanService([]byte(text), &s) {
			t.Errorf("%s is scanned as %d", much, s.Flags)
		}
	}
}
