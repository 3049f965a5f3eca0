package lvs

import "testing"

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		text  string
		tag   string
		there bool
		want  bool
	}{
		{`"a"`, "a", true, true},
		{`a`, "a", true, true},
		{`"a"`, "b", true, false},
		{`"a"`, "a", false, false},
		{`"b", "a"`, "a", true, true},
		{` "b" ,a`, "a", true, true},
		{`"x,y"`, "x,y", true, true},
		{`"x,y"`, "y", true, false},
		{`*`, "a", true, true},
		{`*`, "", false, false},
		{`"*"`, "a", true, false},
		{`W/"a"`, "a", true, false},
		{`W/"a", "a"`, "a", true, true},
		{`""`, "a", true, false},
		{`""`, "", false, false},
	} {
		m, err := ParseMatch(tt.text)
		if err != nil || m.Fits(tt.tag, tt.there) != tt.want {
			t.Errorf("%s and %q, %v: %v, %v", tt.text, tt.tag, tt.there, m, err)
		}
		if again, err := ParseMatch(m.String()); err != nil || again.String() != m.String() {
			t.Errorf("%s came back as %v, %v", m, again, err)
		}
	}
	for _, text := range []string{"", " ", `"a`, `"a"b`, "a b", ",", `"a",`, `a"b"`, `W/` + `"`} {
		if m, err := ParseMatch(text); err == nil {
			t.Errorf("%q was read as %v", text, m)
		}
	}
	if !Match(nil).Fits("", false) || !MatchOf("a").Fits("a", true) {
		t.Error("no wish, or the very tag, does not fit")
	}
}

func FuzzParseMatch(f *testing.F) {
	f.Add(`"a", W/"b", *`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMatch(text)
		if err != nil {
			return
		}
		if again, err := ParseMatch(m.String()); err != nil || again.String() != m.String() {
			t.Errorf("%q was read as %v, that as %v, %v", text, m, again, err)
		}
	})
}
