package client

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// TestEachInTheMemoryOfTheOneBefore: what a service leaves out is not what the
// one before had.
func TestEachInTheMemoryOfTheOneBefore(t *testing.T) {
	now := time.Unix(1700000000, 0).UTC()
	full := Service{ServiceSpec: ServiceSpec{Service: "-t 192.0.2.1:80", Scheduler: "mh", Flags: 3, Persistence: 9, Engine: "sip", OnePacket: true},
		Tag: "a", ByHand: "added", Fallback: true, Counters: lvs.Counters{Connections: 1}, Rates: lvs.Rates{InBytes: 2}, Destinations: []Destination{
			{DestinationSpec: DestinationSpec{Destination: "10.0.0.1:80", Forward: "gue", Weight: 1, Upper: 2, Lower: 1, TunnelPort: 5, TunnelSum: "csum"},
				Installed: true, Health: "down", Reason: "refused", Why: "connection “refused” <é>", Since: &now, Order: &Order{Since: now, Until: &now}, Active: 3},
			{DestinationSpec: DestinationSpec{Destination: "10.0.0.2:80"}}}}
	bare := Service{ServiceSpec: ServiceSpec{Service: "fwm:1"}, Tag: "b", Destinations: []Destination{{DestinationSpec: DestinationSpec{Destination: "10.0.0.3:0"}}}}
	all := []Service{full, bare, full, {Destinations: []Destination{}}, bare}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	enough, err := readList(strings.NewReader(string(text)), func(s *Service) bool {
		if !reflect.DeepEqual(*s, all[n]) {
			t.Errorf("%d: %+v, want %+v", n, *s, all[n])
		}
		n++
		return true
	})
	if n != len(all) || enough || err != nil {
		t.Errorf("%d of %d, %v, %v", n, len(all), enough, err)
	}
	if enough, err := readList(strings.NewReader(string(text)), func(*Service) bool { return false }); !enough || err != nil {
		t.Errorf("one is enough: %v, %v", enough, err)
	}
	for _, broken := range []string{"", "[", string(text[:len(text)-1]), string(text[:len(text)/2]), "{}", `[{"tag":1}]`, `["a"]`} {
		if _, err := readList(strings.NewReader(broken), func(*Service) bool { return true }); err == nil {
			t.Errorf("%q is taken for whole", broken)
		}
	}
}

// TestHoweverItIsWritten: weir writes a service into a line, and what is in
// lines may be followed by what is not.
func TestHoweverItIsWritten(t *testing.T) {
	odd, long := filled(), filled()
	odd.Destinations[0].Why = "connection “refused”"
	for len(long.Destinations) < lineLength/100 {
		long.Destinations = append(long.Destinations, long.Destinations[1])
	}
	all := []Service{filled(), odd, {Destinations: []Destination{}}, filled(), long, filled()}
	var one []string
	for _, s := range all {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		one = append(one, string(text))
	}
	read := func(text string) (n int, err error) {
		_, err = readList(strings.NewReader(text), func(s *Service) bool {
			if !reflect.DeepEqual(*s, all[n]) {
				t.Errorf("%d: %+v, want %+v", n, *s, all[n])
			}
			n++
			return true
		})
		return n, err
	}
	lines := "[" + strings.Join(one, "\n,") + "\n]"
	for _, text := range []string{lines, lines + "\n", "[" + strings.Join(one, ",") + "]", "[\n" + strings.Join(one, ",\n") + "\n]",
		"[" + one[0] + "\n , " + strings.Join(one[1:], "\n,") + "]", "[" + strings.Join(one, "\n,") + "\n ]"} {
		if n, err := read(text); n != len(all) || err != nil {
			t.Errorf("%.60q…: %d of %d, %v", text, n, len(all), err)
		}
	}
	few := "[" + strings.Join(one[:3], "\n,") + "\n]"
	for i := range few {
		if _, err := read(few[:i]); err == nil {
			t.Fatalf("%q is taken for whole", few[:i])
		}
	}
	for _, broken := range []string{"[" + one[0] + "\n" + one[1] + "\n]", "[" + one[0] + "\n,]", "[" + one[0] + "\n,,"} {
		if _, err := read(broken); err == nil {
			t.Errorf("%q is taken for whole", broken)
		}
	}
}
