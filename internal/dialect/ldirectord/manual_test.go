package ldirectord

import (
	"os"
	"strings"
	"testing"
)

// TestFromLVS: docs/from-lvs.md says of each directive what becomes of it.
func TestFromLVS(t *testing.T) {
	text, err := os.ReadFile("../../../docs/from-lvs.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range directives {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("%s is not in docs/from-lvs.md", name)
		}
	}
	for name := range instead {
		if !isKnown(name) {
			t.Errorf("%s is no directive", name)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct{ in, want, wrong string }{
		{in: "(?=a)", wrong: "the look-ahead (?= "},
		{in: "(?<!a)b", wrong: "the look-behind (?<! "},
		{in: `(a)\1`, wrong: `the back reference \1 `},
		{in: `\k<n>`, wrong: `the back reference \k `},
		{in: "a++", wrong: "the possessive quantifier ++ "},
		{in: "(?>a)", wrong: "the atomic group (?> "},
		{in: "(?#a)", wrong: "the comment (?# "},
		{in: `a\Kb`, wrong: `the escape \K `},
		{in: "(", wrong: "not a regular expression"},
		{in: "[", wrong: "not a regular expression"},
		{in: `\`, wrong: "not a regular expression"},
		{in: "", want: ""},
		{in: "still alive", want: "still alive"},
		{in: "alive$", want: `alive(?:\n?\z)`},
		{in: `cost \$5`, want: `cost \$5`},
		{in: "[$]", want: "[$]"},
		{in: "[]$]", want: `[\]$]`},
		{in: "[^]$]$", want: `[^\]$](?:\n?\z)`},
		{in: "[[:digit:]$]", want: "[[:digit:]$]"},
		{in: "(?m)^ok$", want: "(?m)^ok$"},
		{in: "(?i)ok$", want: `(?i)ok(?:\n?\z)`},
		{in: `\Qa$\E$`, want: `\Qa$\E(?:\n?\z)`},
		{in: `a\+\++`, want: `a\+\++`},
		{in: "[+*]+", want: "[+*]+"},
		{in: `say \"hi\"`, want: `say \"hi\"`},
		{in: `\h[\h]\R\e`, want: `[\t ][\t ](?:\r\n|[\n\v\f\r])\x1b`},
	} {
		t.Run(c.in, func(t *testing.T) {
			out, err := pattern(c.in)
			if c.wrong != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.wrong) {
					t.Errorf("want %s…, have %v", c.wrong, err)
				}
			} else if err != nil || out != c.want {
				t.Errorf("want %s, have %s %v", c.want, out, err)
			}
		})
	}
}
