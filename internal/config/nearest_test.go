package config

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"listen", "scheduler", "forward", "one_packet", "upper", "lower", "destinations", "scheduled"}
	for word, want := range map[string]string{
		"": "", "x": "", "up": "", "virtual": "", "frobnicate": "", "flower": "lower",
		"schedular": "scheduler", "sheduler": "scheduler", "Listen": "listen", "one-packet": "one_packet",
		"destination": "destinations", "forwarding": "", "loewr": "",
		"lowr": "lower", "uper": "upper", "destinatoins": "destinations",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
