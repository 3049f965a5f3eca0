package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing wrong with a configuration, or worth knowing about it.
type Problem struct {
	Place   Place
	Text    string
	Warning bool // the configuration can be used all the same
}

// String is "file:line: text", the form editors jump to.
func (p Problem) String() string {
	var b strings.Builder
	if p.Place.File != "" {
		b.WriteString(p.Place.File + ":")
	}
	if p.Place.Line > 0 {
		fmt.Fprintf(&b, "%d:", p.Place.Line)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all that is to be said about a configuration. It is an error
// by type so that it can travel as one; ask Err whether it really is.
type Problems []Problem

// Error lists the problems that are no warnings, one on each line.
func (ps Problems) Error() string {
	lines := make([]string, 0, len(ps))
	for _, p := range ps {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Err is ps as an error if it holds one, and nil if all are warnings.
func (ps Problems) Err() error {
	if len(ps.Errors()) == 0 {
		return nil
	}
	return ps
}

// Errors are the problems that keep the configuration from being used.
func (ps Problems) Errors() Problems { return ps.only(false) }

// Warnings are the problems it can be used with.
func (ps Problems) Warnings() Problems { return ps.only(true) }

func (ps Problems) only(warning bool) Problems {
	var out Problems
	for _, p := range ps {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// Sorted is ps by file and line; what was found first about a line stays first.
func (ps Problems) Sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Place.File, b.Place.File), cmp.Compare(a.Place.Line, b.Place.Line))
	})
	return out
}

// Errorf adds an error.
func (ps *Problems) Errorf(at Place, format string, args ...any) {
	*ps = append(*ps, Problem{Place: at, Text: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning.
func (ps *Problems) Warnf(at Place, format string, args ...any) {
	*ps = append(*ps, Problem{Place: at, Text: fmt.Sprintf(format, args...), Warning: true})
}
