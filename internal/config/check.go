package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// checkKinds in the order the manual tells them.
var checkKinds = []lvs.CheckKind{lvs.CheckConnect, lvs.CheckHTTP, lvs.CheckHTTPS, lvs.CheckSimple,
	lvs.CheckPing, lvs.CheckExternal, lvs.CheckOn, lvs.CheckOff}

// DefaultCheck is the check of a real server for which none was asked. Some
// fields are still open, because what they become depends on the kind:
// SettleCheck closes them.
func DefaultCheck() lvs.Check {
	return lvs.Check{Kind: lvs.CheckConnect, Interval: 10 * time.Second, Timeout: 5 * time.Second,
		Attempts: 1, Fall: 1, Rise: 1}
}

// SettleCheck fills what was left open and empties what the kind has no use
// for, so that two checks that do the same compare equal.
func SettleCheck(c lvs.Check) lvs.Check {
	clearUnused(&c)
	if isHTTP(c.Kind) {
		if c.Request == "" {
			c.Request = "/"
		}
		if c.Method == "" {
			c.Method = "GET"
		}
	}
	c.Attempts, c.Fall, c.Rise = max(c.Attempts, 1), max(c.Fall, 1), max(c.Rise, 1)
	if c.Every == 0 || c.ConnectTimeout == 0 {
		c.ConnectTimeout = c.Timeout
	}
	return c
}

func clearUnused(c *lvs.Check) {
	if !usesKey(c.Kind, "port") {
		c.Port = 0
	}
	if !usesKey(c.Kind, "request") {
		c.Request = ""
	}
	if !usesKey(c.Kind, "receive") {
		c.Receive = ""
	}
	if !usesKey(c.Kind, "host") {
		c.Host = ""
	}
	if !usesKey(c.Kind, "method") {
		c.Method = ""
	}
	if !usesKey(c.Kind, "command") {
		c.Command = ""
	}
	if !usesKey(c.Kind, "attempts") {
		c.Attempts = 1
	}
	if !usesKey(c.Kind, "every") {
		c.Every = 0
	}
}

func isHTTP(k lvs.CheckKind) bool { return k == lvs.CheckHTTP || k == lvs.CheckHTTPS }

// usesKey tells whether a check of kind k does anything with a key of weir.yaml.
func usesKey(k lvs.CheckKind, key string) bool {
	switch key {
	case "port":
		return k != lvs.CheckPing && k != lvs.CheckExternal && k != lvs.CheckOn && k != lvs.CheckOff
	case "request", "receive", "every", "connect_timeout":
		return isHTTP(k) || k == lvs.CheckSimple
	case "host", "method":
		return isHTTP(k)
	case "command":
		return k == lvs.CheckExternal
	case "attempts":
		// A connect check of a UDP service is a ping.
		return k == lvs.CheckPing || k == lvs.CheckConnect
	}
	return true
}

// checkFaults says what cannot be right about a settled check.
func checkFaults(c lvs.Check) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if !slices.Contains(checkKinds, c.Kind) {
		say("unknown kind of check %q; one of %s", c.Kind, joined(checkKinds))
		return out
	}
	if c.Kind == lvs.CheckExternal && c.Command == "" {
		say("an external check needs a command")
	}
	if c.Interval <= 0 || c.Timeout <= 0 || c.ConnectTimeout <= 0 {
		say("a check needs an interval and a timeout above zero")
	}
	if c.Every < 0 {
		say("every must not be negative")
	}
	if err := ValidPattern(c.Receive); err != nil {
		say("receive: %v", err)
	}
	if isHTTP(c.Kind) {
		if c.Method != "GET" && c.Method != "HEAD" {
			say("unknown HTTP method %q; use GET or HEAD", c.Method)
		}
		if strings.ContainsFunc(c.Request, unprintable) || strings.ContainsFunc(c.Host, unprintable) {
			say("request and host of an HTTP check must not hold blanks or control characters; write a blank as %%20")
		}
		if !strings.HasPrefix(c.Request, "/") && !strings.HasPrefix(c.Request, string(c.Kind)+"://") {
			say("request %q: begin it with / or %s://", c.Request, c.Kind)
		}
	}
	return out
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f }

func joined[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, " ")
}

// ValidPattern tells whether a receive pattern is a regular expression weir
// can match.
func ValidPattern(s string) error {
	_, err := regexp.Compile(s)
	if err == nil {
		return nil
	}
	return fmt.Errorf("not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}
