package ldirectord

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-lb/weir/internal/config"
)

// The bounds of weir.yaml, so that every file that is read can be written.
const (
	maxSeconds  = 24 * 60 * 60
	maxFailures = 1000
	maxAttempts = 100
	maxEvery    = 1000000
)

// global carries one statement outside of virtual services into c.
func (r *reader) global(st statement, c *config.Config) {
	if r.shared(st, &r.settings) {
		return
	}
	switch st.name {
	case "autoreload":
		if yes, ok := r.yesNo(st); ok {
			c.AutoReload = yes
		}
	case "logfile":
		s, ok := r.quoted(st)
		if err := config.ValidLogFile(s); ok && err != nil {
			r.errorf(st, "logfile: %v", err)
		}
		c.LogFile = s
	case "callback":
		if _, ok := r.quoted(st); ok {
			r.notYet(st)
		}
	case "supervised":
		r.supervised(st)
	case "fork":
		yes, _ := r.yesNo(st)
		if r.fork = yes; yes {
			r.notYet(st)
		}
	case "readdquiescent":
		if yes, _ := r.yesNo(st); yes {
			r.notYet(st)
		}
	case "execute", "maintenancedir", "emailalertfrom":
		r.notYet(st)
	case "timeout":
		r.errorf(st, "timeout is gone; use checktimeout and negotiatetimeout")
	default:
		r.misplaced(st)
	}
}

// supervised may stand without a value, which the original takes for yes.
func (r *reader) supervised(st statement) {
	if st.bare && st.value == "" {
		r.notYet(st)
		return
	}
	if yes, _ := r.yesNo(st); yes {
		r.notYet(st)
	}
}

// misplaced refuses a directive that is unknown or in the wrong section.
func (r *reader) misplaced(st statement) {
	lower := strings.ToLower(st.name)
	switch {
	case inBlockOnly(st.name):
		r.errorf(st, "%s belongs into a virtual service; write a virtual= line before it", st.name)
	case isGlobalOnly(st.name):
		r.errorf(st, "%s belongs before the virtual services, without indentation", st.name)
	case isKnown(lower):
		r.errorf(st, "unknown directive %q; directives are written in lower case: %s", st.name, lower)
	case st.bare:
		r.errorf(st, "not a directive: %.60q; write name=value", strings.TrimSpace(st.name+" "+st.value))
	default:
		text := fmt.Sprintf("unknown directive %q", st.name)
		if near := config.Nearest(st.name, slices.Sorted(maps.Keys(directives))); near != "" {
			text += "; it is written " + near
		}
		r.errorf(st, "%s", text)
	}
}

// shared reads what may stand before virtual services and inside them; it
// tells whether st was such a directive.
func (r *reader) shared(st statement, to *settings) bool {
	if directives[st.name] != anywhere {
		return false
	}
	if st.bare {
		r.errorf(st, "%s needs a value: %s=…", st.name, st.name)
		return true
	}
	number := func(field *int, high int) {
		if n, ok := r.number(st, 1, high); ok {
			*field = n
		}
	}
	flag := func(field **bool) {
		if yes, ok := r.yesNo(st); ok {
			*field = &yes
		}
	}
	switch st.name {
	case "checktimeout":
		number(&to.checkTimeout, maxSeconds)
	case "negotiatetimeout":
		number(&to.negotiateTimeout, maxSeconds)
	case "checkinterval":
		number(&to.checkInterval, maxSeconds)
	case "checkcount":
		number(&to.checkCount, maxAttempts)
	case "failurecount":
		number(&to.failureCount, maxFailures)
	case "quiescent":
		flag(&to.quiescent)
	case "cleanstop":
		flag(&to.cleanStop)
	case "fallback":
		to.fallback = &st
	case "fallback6":
		to.fallback6 = &st
	case "connecttimeout":
		r.errorf(st, "connecttimeout is gone; use negotiatetimeout")
	default:
		r.mail(st)
	}
	return true
}

// mail checks what is not carried out, so that a wrong line is still told.
func (r *reader) mail(st statement) {
	switch st.name {
	case "emailalertfreq":
		if _, ok := r.number(st, 0, 1<<31-1); !ok {
			return
		}
	case "emailalertstatus":
		if !r.mailStatus(st) {
			return
		}
	case "smtp":
		if s := st.plain(); s == "" || strings.ContainsFunc(s, notHost) {
			r.errorf(st, "smtp must be the name or address of a host, without quotes")
			return
		}
	}
	r.notYet(st)
}

func (r *reader) mailStatus(st statement) bool {
	words := strings.FieldsFunc(st.plain(), func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	for _, w := range words {
		switch w {
		case "all", "starting", "running", "stopping", "reloading":
		case "none":
			if len(words) > 1 {
				r.errorf(st, "emailalertstatus: none cannot stand with other words")
				return false
			}
		default:
			r.errorf(st, "emailalertstatus: unknown word %q; use all, none, starting, running, stopping, reloading", w)
			return false
		}
	}
	return true
}

func notHost(c rune) bool { return c > 0x7f || !hostByte(byte(c)) }
