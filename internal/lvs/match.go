package lvs

import (
	"fmt"
	"slices"
	"strings"
)

// anyTag fits whatever is there.
const anyTag = "*"

// A Match are the tags that what is to be changed may have, so that nobody
// overwrites what he has not seen. Each is as HTTP's If-Match has it: in
// quotes, or * for any. Nil: whatever it is, also nothing at all.
type Match []string

// MatchOf fits this tag alone.
func MatchOf(tag string) Match { return Match{`"` + tag + `"`} }

// Fits tells whether what has this tag may be changed; what is not there has
// none, and fits nothing.
func (m Match) Fits(tag string, there bool) bool {
	return m == nil || there && (slices.Contains(m, anyTag) || slices.Contains(m, `"`+tag+`"`))
}

// String is m as If-Match has it (RFC 9110, 13.1.1).
func (m Match) String() string { return strings.Join(m, ", ") }

// ParseMatch reads what String writes, and a tag without quotes. A weak tag is
// read, but fits nothing.
func ParseMatch(s string) (m Match, err error) {
	rest := strings.TrimSpace(s)
	for {
		weak := strings.HasPrefix(rest, `W/"`)
		if weak {
			rest = rest[len("W/"):]
		}
		end := strings.IndexAny(rest, ", \t\"")
		if strings.HasPrefix(rest, `"`) {
			if end = strings.IndexByte(rest[1:], '"') + 2; end == 1 {
				end = 0 // it is not closed
			}
		} else if end < 0 {
			end = len(rest)
		}
		tag := rest[:end]
		after := strings.TrimLeft(rest[end:], " \t")
		if tag == "" || after != "" && after[0] != ',' {
			return nil, fmt.Errorf("%q names no tag; write it as ETag has it, in quotes, or * for any", s)
		}
		switch {
		case weak:
			tag = "W/" + tag
		case tag != anyTag && tag[0] != '"':
			tag = `"` + tag + `"`
		}
		m = append(m, tag)
		if after == "" {
			return m, nil
		}
		rest = strings.TrimLeft(after[1:], " \t")
	}
}
