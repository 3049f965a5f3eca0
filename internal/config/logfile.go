package config

import (
	"fmt"
	"slices"
	"strings"
)

// facilities of syslog by their numbers (RFC 5424, section 6.2.1, in the names
// of syslog(3)).
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	16: "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// Facility is the number of the syslog facility the log file stands for, if it
// names one. As in ldirectord case does not matter, and LOG_ may stand before.
func Facility(logFile string) (number int, ok bool) {
	name := strings.TrimPrefix(strings.ToLower(logFile), "log_")
	number = slices.Index(facilities, name)
	return number, number >= 0 && name != ""
}

// ValidLogFile tells whether the log can go to s: an absolute path, a
// facility, or nothing for standard error.
func ValidLogFile(s string) error {
	if _, ok := Facility(s); ok || s == "" || strings.HasPrefix(s, "/") {
		return nil
	}
	return fmt.Errorf("%q is neither an absolute path nor a syslog facility; write /var/log/weir.log, or daemon, or local0 to local7", s)
}
