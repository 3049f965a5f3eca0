package all

import (
	"regexp"
	"strings"
)

// later are the languages that are recognised, and refused with their name.
var later = map[string]string{
	"keepalived": "a keepalived.conf",
	"lvs":        "an lvs.cf of Piranha",
	"haproxy":    "a haproxy.cfg",
	"listing":    "a listing of ipvsadm -L (its rules are what ipvsadm -S prints)",
}

// A sign is a line by which a language gives itself away.
type sign struct {
	format string
	line   *regexp.Regexp
}

// signs in the order they are tried on each line: the first line that shows
// one decides. Comments and blank lines show nothing.
var signs = []sign{
	{Ipvsadm, regexp.MustCompile(`^\s*(ipvsadm\s+)?(-[AaC]|--add-service|--add-server|--clear)\b`)},
	{"listing", regexp.MustCompile(`^IP Virtual Server version`)},
	{"lvs", regexp.MustCompile(`^\s*(serial_no|primary|backup_active|backup|heartbeat|keepalive|deadtime|network|nat_router|nat_nmask|debug_level|monitor_links|syncdaemon|rsh_command|service)\s*=`)},
	{"lvs", regexp.MustCompile(`^\s*(virtual|failover)\s+\S+\s*\{`)},
	{"keepalived", regexp.MustCompile(`^\s*(global_defs|vrrp_\w+|virtual_server(_group)?|static_(ipaddress|routes|rules)|linkbeat_use_polling)\b[^=:]*\{?\s*$`)},
	{"keepalived", regexp.MustCompile(`^\s*include\s+\S+\s*$`)},
	{"haproxy", regexp.MustCompile(`^\s*(global|defaults|(frontend|backend|listen|peers|resolvers|userlist)\s+\S+.*)\s*$`)},
	{Ldirectord, regexp.MustCompile(`^\s*[A-Za-z0-9_-]+\s*=`)},
	{Ldirectord, regexp.MustCompile(`^\s*supervised\s*$`)},
	{Weir, regexp.MustCompile(`^\s*(-\s+)?["']?[A-Za-z0-9_-]+["']?\s*:(\s|$)|^---|^\s*[{\[]|^%YAML`)},
}

// recognise names the language of a text. What shows no sign at all is read
// as weir.yaml, whose reader then says what is wrong with it.
func recognise(text []byte) string {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' || trimmed[0] == '!' {
			continue
		}
		for _, s := range signs {
			if s.line.MatchString(line) {
				return s.format
			}
		}
	}
	return Weir
}
