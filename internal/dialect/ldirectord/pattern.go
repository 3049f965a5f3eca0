package ldirectord

import (
	"fmt"
	"strings"

	"github.com/weir-lb/weir/internal/config"
)

// pattern turns a Perl regular expression into one of Go's (RE2). Both read
// nearly everything alike; what differs in meaning is rewritten, and what RE2
// cannot do is refused by name.
func pattern(s string) (string, error) {
	t := &translator{in: s, lines: strings.Contains(flagsOf(s), "m")}
	for t.i < len(t.in) {
		if err := t.step(); err != nil {
			return "", err
		}
	}
	out := t.out.String()
	return out, config.ValidPattern(out)
}

// flagsOf are the letters of all flag groups, (?im) and the like.
func flagsOf(s string) string {
	var out strings.Builder
	for {
		_, rest, ok := strings.Cut(s, "(?")
		if !ok {
			return out.String()
		}
		letters := strings.TrimLeft(rest, "imsxnpadlu")
		if strings.HasPrefix(letters, ")") || strings.HasPrefix(letters, ":") || strings.HasPrefix(letters, "-") {
			out.WriteString(rest[:len(rest)-len(letters)])
		}
		s = rest
	}
}

type translator struct {
	in    string
	i     int
	out   strings.Builder
	class bool // inside [ ]
	lines bool // $ means the end of a line
}

func impossible(what, construct string) error {
	return fmt.Errorf("%s %s is possible in ldirectord's regular expressions (Perl), but not in weir's (RE2)", what, construct)
}

// end is what $ means in Perl: the end of the text, or before a line feed
// that ends it.
const end = `(?:\n?\z)`

func (t *translator) step() error {
	rest := t.in[t.i:]
	switch {
	case rest[0] == '\\' && len(rest) > 1:
		return t.escape(rest[:2])
	case t.class && strings.HasPrefix(rest, "[:") && strings.Contains(rest, ":]"):
		t.put(strings.Index(rest, ":]")+2, rest[:strings.Index(rest, ":]")+2])
		return nil
	case t.class:
		t.class = rest[0] != ']'
	case rest[0] == '[':
		return t.openClass(rest)
	case strings.HasPrefix(rest, "(?"):
		if err := group(rest); err != nil {
			return err
		}
	case rest[0] == '$' && !t.lines:
		t.put(1, end)
		return nil
	case len(rest) > 1 && rest[1] == '+' && strings.IndexByte("*+?}", rest[0]) >= 0:
		return impossible("the possessive quantifier", rest[:2])
	}
	t.put(1, rest[:1])
	return nil
}

// put writes text for the next n characters.
func (t *translator) put(n int, text string) {
	t.out.WriteString(text)
	t.i += n
}

// openClass passes over the beginning of a class, where ] is a character.
func (t *translator) openClass(rest string) error {
	n := 1
	if strings.HasPrefix(rest[n:], "^") {
		n++
	}
	literal := ""
	if strings.HasPrefix(rest[n:], "]") {
		literal = `\]`
	}
	t.class = true
	t.put(n+min(len(literal), 1), rest[:n]+literal)
	return nil
}

func (t *translator) escape(pair string) error {
	to := pair
	switch c := pair[1]; {
	case c == 'e':
		to = `\x1b`
	case t.class:
		if c == 'h' {
			to = `\t `
		}
	case c >= '1' && c <= '9' || c == 'k' || c == 'g':
		return impossible("the back reference", pair)
	case c == 'K' || c == 'G' || c == 'X':
		return impossible("the escape", pair)
	case c == 'Z':
		to = end
	case c == 'h':
		to = `[\t ]`
	case c == 'R':
		to = `(?:\r\n|[\n\v\f\r])`
	case c == 'N':
		to = `[^\n]`
	case c == 'Q':
		return t.literal()
	}
	t.put(2, to)
	return nil
}

// literal copies \Q…\E as it stands; RE2 knows it too.
func (t *translator) literal() error {
	rest := t.in[t.i:]
	n := len(rest)
	if i := strings.Index(rest, `\E`); i >= 0 {
		n = i + 2
	}
	t.put(n, rest[:n])
	return nil
}

// group refuses the groups RE2 does not know.
func group(rest string) error {
	for _, g := range []struct{ begin, what string }{
		{"(?=", "the look-ahead"}, {"(?!", "the look-ahead"}, {"(?<=", "the look-behind"}, {"(?<!", "the look-behind"},
		{"(?>", "the atomic group"}, {"(?(", "the condition"}, {"(?|", "the branch reset"}, {"(?R", "the recursion"},
		{"(?&", "the recursion"}, {"(?0", "the recursion"}, {"(?1", "the recursion"}, {"(?{", "the code"}, {"(??", "the code"},
		{"(?#", "the comment"},
	} {
		if strings.HasPrefix(rest, g.begin) {
			return impossible(g.what, g.begin)
		}
	}
	return nil
}
