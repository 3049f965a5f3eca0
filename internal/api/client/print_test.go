package client

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// TestPrinted: a service is printed as the library would, to the byte, and
// without it.
func TestPrinted(t *testing.T) {
	full, odd, bare := filled(), filled(), Service{Destinations: []Destination{}}
	there, until := time.Date(2026, 7, 8, 9, 10, 11, 0, time.FixedZone("", 7200)), time.Now()
	d := &odd.Destinations[0]
	d.Why, d.Since, d.Order = "<\"é\\\x01&>", &there, &Order{Weight: 3, Since: until, Until: &until}
	d.Counters.InBytes, d.Weight = math.MaxUint64, -1
	odd.Tag = "\xff"
	for _, s := range []Service{full, odd, bare, {Destinations: make([]Destination, 3)}} {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := AppendService([]byte("before "), &s); string(text) != "before "+string(want) || err != nil {
			t.Errorf("%s, %v, want\n%s", text, err, want)
		}
	}
	room := make([]byte, 0, 1<<12)
	full.Mask = bare.Mask // whose text is allocated
	if n := testing.AllocsPerRun(10, func() { _, _ = AppendService(room, &full) }); n != 0 {
		t.Errorf("%.0f allocations for a service", n)
	}
	long := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := AppendService(nil, &Service{Destinations: []Destination{{Order: &Order{Since: long}}}}); err == nil {
		t.Error("a moment that has no text was printed")
	}
}
