// Package ldirectord reads ldirectord.cf, the configuration of the Linux
// Director Daemon. It keeps what working files depend on, down to the places
// where numbers end and comments begin. What the original refuses for its
// layout alone is accepted with a warning; what it accepts is never given
// another meaning; where it misreads silently, an error or a warning tells
// what it would have done.
//
// It never carries anything out: it opens no file, runs no program and looks
// up no name but through the dialect.Names handed in.
package ldirectord

import (
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
)

// Read reads a whole ldirectord.cf. The configuration is what the file wishes
// for; it is only to be used when the problems hold no error.
func Read(file string, text []byte, names dialect.Names) (config.Config, config.Problems) {
	r := &reader{file: file, names: names, warned: map[string]bool{}}
	c := config.Default()
	if len(text) > config.MaxText {
		r.problems.Errorf(config.Place{File: file}, "the file is larger than %d MiB", config.MaxText>>20)
		return c, r.problems
	}
	global, blocks := r.layout(dialect.Lines(file, text))
	for _, st := range global {
		r.global(st, &c)
	}
	r.globalFallbacks()
	for _, b := range blocks {
		if s, ok := r.service(b); ok {
			c.Services = append(c.Services, s)
		}
	}
	r.problems = append(r.problems, config.Validate(&c)...)
	return c, r.problems.Sorted()
}

// A reader is one reading of one file.
type reader struct {
	file     string
	names    dialect.Names
	problems config.Problems
	warned   map[string]bool // what is warned of once in a file

	settings settings // the global ones
	fork     bool
	fallback map[string]*fallback // by directive: fallback, fallback6
}

func (r *reader) errorf(st statement, format string, args ...any) {
	r.problems.Errorf(st.at, format, args...)
}

func (r *reader) warnf(st statement, format string, args ...any) {
	r.problems.Warnf(st.at, format, args...)
}

// once warns of a habit of the file where it shows first.
func (r *reader) once(topic string, at config.Place, format string, args ...any) {
	if !r.warned[topic] {
		r.warned[topic] = true
		r.problems.Warnf(at, format, args...)
	}
}

// settings are the directives that stand both before and inside virtual
// services. Zero and nil mean not said.
type settings struct {
	checkTimeout, negotiateTimeout, checkInterval int
	checkCount, failureCount                      int
	quiescent, cleanStop                          *bool
	fallback, fallback6                           *statement
}
