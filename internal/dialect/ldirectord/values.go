package ldirectord

import (
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/dialect"
)

// seen is the value as the original sees it: in a virtual service it cuts
// everything from # on, even inside quotes; before them it cuts nothing.
func (st statement) seen() string {
	if st.inside {
		return cutComment(st.value)
	}
	return st.value
}

func cutComment(s string) string {
	s, _, _ = strings.Cut(s, "#")
	return s
}

// plain is the value as it was meant: no comment, no blanks around.
func (st statement) plain() string { return strings.TrimSpace(cutComment(st.value)) }

// yesNo reads yes or no. Blanks and comments behind them make the original
// refuse the line.
func (r *reader) yesNo(st statement) (yes, ok bool) {
	word := st.plain()
	if word != "yes" && word != "no" {
		r.errorf(st, "%s must be yes or no", st.name)
		return false, false
	}
	if st.seen() != word {
		r.warnf(st, "%s=%s is followed by blanks or a comment; ldirectord would refuse that, weir takes %s", st.name, word, word)
	}
	return word == "yes", true
}

// number reads the first digits of the value, wherever they stand, as the
// original does, and holds them to a range.
func (r *reader) number(st statement, low, high int) (int, bool) {
	text := st.seen()
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		r.errorf(st, "%s must be a number from %d to %d", st.name, low, high)
		return 0, false
	}
	digits := leadingDigits(text[start:])
	n, err := strconv.Atoi(digits)
	if err != nil || n < low || n > high {
		r.errorf(st, "%s %s is out of range; from %d to %d are possible", st.name, digits, low, high)
		return 0, false
	}
	if st.plain() != digits {
		r.warnf(st, "%s takes the first digits of %q, as with ldirectord: %d", st.name, st.plain(), n)
	}
	return n, true
}

func leadingDigits(s string) string {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i]
}

// quoted reads a text that must stand in double quotes. It reaches to the
// last quote of the line, as with the original.
func (r *reader) quoted(st statement) (string, bool) {
	if s, ok := betweenQuotes(st.seen()); ok {
		return r.notEmpty(st, s)
	}
	c := dialect.Cursor{Rest: st.value}
	s, ok := c.Quoted()
	if !ok {
		r.errorf(st, "%s must stand in double quotes: %s=\"…\"", st.name, st.name)
		return "", false
	}
	r.warnf(st, "%s holds a #; ldirectord begins a comment there even inside quotes and refuses the line, weir keeps it", st.name)
	return r.notEmpty(st, s)
}

func (r *reader) notEmpty(st statement, s string) (string, bool) {
	if s == "" {
		r.errorf(st, "%s must not be empty", st.name)
	}
	return s, s != ""
}

func betweenQuotes(s string) (string, bool) {
	end := strings.LastIndexByte(s, '"')
	if !strings.HasPrefix(s, `"`) || end == 0 {
		return "", false
	}
	return s[1:end], true
}

// maybeQuoted reads a text with or without quotes around it.
func (r *reader) maybeQuoted(st statement) (string, bool) {
	s := strings.TrimSpace(st.seen())
	if inner, ok := betweenQuotes(s); ok {
		s = inner
	}
	return r.notEmpty(st, s)
}
