package config

import "testing"

func TestLogFile(t *testing.T) {
	for _, tt := range []struct {
		name     string
		facility int
		valid    bool
	}{
		{"weir.log", -1, false},
		{"local8", -1, false},
		{"./local0", -1, false},
		{" ", -1, false},
		{"LOG_", -1, false},
		{"", -1, true},
		{"/var/log/weir.log", -1, true},
		{"kern", 0, true},
		{"daemon", 3, true},
		{"ftp", 11, true},
		{"local0", 16, true},
		{"LOG_LOCAL7", 23, true},
	} {
		n, ok := Facility(tt.name)
		if ok != (tt.facility >= 0) || ok && n != tt.facility {
			t.Errorf("%q: facility %d, %v", tt.name, n, ok)
		}
		if err := ValidLogFile(tt.name); (err == nil) != tt.valid {
			t.Errorf("%q: %v", tt.name, err)
		}
	}
}
