// Package all reads a configuration in whatever language it is written: it
// recognises the language by the text and hands it to the reader of that
// language. It never opens a file.
package all

import (
	"fmt"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
	"github.com/weir-lb/weir/internal/dialect/ldirectord"
)

// Formats are the languages that can be asked for by name.
var Formats = []string{Weir, Ldirectord, Ipvsadm}

// The languages that are read.
const (
	Weir       = "weir"       // weir.yaml
	Ldirectord = "ldirectord" // ldirectord.cf
	Ipvsadm    = "ipvsadm"    // saved rules, ipvsadm -S
)

// Read reads a configuration a director is to be given. An empty format means
// to find out.
func Read(file string, text []byte, format string, names dialect.Names) (config.Config, config.Problems) {
	c, problems := Wish(file, text, format, names)
	if problems.Err() == nil && len(c.Services) == 0 {
		problems.Warnf(config.Place{File: file}, "no virtual service: with this nothing is balanced")
	}
	return c, problems.Sorted()
}

// Wish reads a configuration as it is: what a conversion has to keep.
func Wish(file string, text []byte, format string, names dialect.Names) (config.Config, config.Problems) {
	if format == "" {
		format = recognise(text)
	}
	switch format {
	case Weir:
		return config.Parse(file, text)
	case Ldirectord:
		return ldirectord.Read(file, text, names)
	case Ipvsadm:
		return ipvsadm.Read(file, text, names)
	}
	var problems config.Problems
	at := config.Place{File: file}
	if name, ok := later[format]; ok {
		problems.Errorf(at, "this is %s, which this version does not read yet; it reads weir.yaml, ldirectord.cf and rules saved by ipvsadm -S", name)
	} else {
		problems.Errorf(at, "unknown format %q; use %s", format, listed())
	}
	return config.Default(), problems
}

func listed() string { return fmt.Sprintf("%s, %s or %s", Weir, Ldirectord, Ipvsadm) }
