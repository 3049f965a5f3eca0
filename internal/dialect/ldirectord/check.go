package ldirectord

import (
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// serviceByPort is the service a virtual service has when none is said.
var serviceByPort = map[uint16]string{21: "ftp", 25: "smtp", 53: "dns", 80: "http", 110: "pop", 119: "nntp",
	143: "imap", 389: "ldap", 443: "https", 587: "submission", 636: "ldaps", 993: "imaps", 995: "pops",
	1521: "oracle", 1812: "radius", 3128: "http_proxy", 3306: "mysql", 5060: "sip", 5432: "pgsql"}

func wellKnown(service string) uint16 {
	for port, name := range serviceByPort {
		if name == service {
			return port
		}
	}
	return 0
}

func isService(name string) bool {
	return name == "none" || name == "simpletcp" || wellKnown(name) != 0
}

// kindByService are the services whose own check this version carries out.
var kindByService = map[string]lvs.CheckKind{"http": lvs.CheckHTTP, "https": lvs.CheckHTTPS, "simpletcp": lvs.CheckSimple}

// checkStatement reads what says how real servers are asked; it tells whether
// st was such a directive.
func (r *reader) checkStatement(st statement, v *virtual) bool {
	switch st.name {
	case "checktype":
		r.checkType(st, v)
	case "service":
		name := st.plain()
		if !isService(name) {
			r.errorf(st, "unknown service %q; one of dns ftp http https http_proxy imap imaps ldap ldaps mysql nntp none oracle pgsql pop pops radius simpletcp sip smtp submission", name)
			return true
		}
		v.service, v.serviceAt = name, &st
	case "checkcommand":
		if s, ok := r.maybeQuoted(st); ok {
			v.command = s
		}
	case "checkport":
		if n, ok := r.number(st, 1, 65535); ok {
			v.checkPort = n
		}
	case "request":
		if s, ok := r.quoted(st); ok {
			v.request = s
		}
	case "receive":
		if s, ok := r.quoted(st); ok {
			var err error
			if v.receive, err = pattern(s); err != nil {
				r.errorf(st, "receive: %v", err)
				v.receive = ""
			}
		}
	case "httpmethod":
		if v.method = strings.ToUpper(st.plain()); v.method != "GET" && v.method != "HEAD" {
			r.errorf(st, "httpmethod must be GET or HEAD")
			v.method = ""
		}
	case "virtualhost":
		if s, ok := r.maybeQuoted(st); ok {
			v.virtualHost = s
		}
	default:
		return false
	}
	return true
}

// checkType looks for digits first, as the original does: every3 is 3.
func (r *reader) checkType(st statement, v *virtual) {
	v.checkType = &st
	text := st.seen()
	if strings.ContainsAny(text, "0123456789") {
		if n, ok := r.number(st, 0, maxEvery); ok {
			v.kind, v.every = "negotiate", n
		}
		return
	}
	c := dialect.Cursor{Rest: text}
	word := c.Word()
	switch word {
	case "connect", "negotiate", "ping", "external", "external-perl", "on", "off":
		v.kind, v.every = word, 0
	default:
		r.errorf(st, "unknown checktype %q; use connect, negotiate, ping, external, external-perl, on, off or a number", st.plain())
		return
	}
	if word != st.plain() {
		r.warnf(st, "checktype %q is read as %s, as with ldirectord", st.plain(), word)
	}
}

// check is how the real servers of v are asked, but for what a real server
// says itself.
func (r *reader) check(v *virtual, key lvs.ServiceKey) lvs.Check {
	if v.service == "" {
		v.service = "none"
		if name := serviceByPort[key.Addr.Port()]; name != "" && key.Mark == 0 {
			v.service = name
		}
	}
	connect, negotiate := r.timeouts(v)
	c := config.DefaultCheck()
	c.Interval = seconds(r.interval(v))
	c.Port = uint16(v.checkPort)
	c.Fall = first(v.failureCount, r.settings.failureCount, 1)
	c.Attempts = first(v.checkCount, r.settings.checkCount, 1)
	c.Host, c.Method, c.Command = v.virtualHost, v.method, v.command
	c.Kind, c.Every = r.kind(v)
	c.Receive = v.receive
	c.Timeout, c.ConnectTimeout = connect, connect
	if usesQuestion(c.Kind) {
		c.Timeout = negotiate
		c.Request = requestOf(c.Kind, v.request)
	}
	return c
}

// kind is the kind of check for checktype and service together.
func (r *reader) kind(v *virtual) (lvs.CheckKind, int) {
	at := v.st
	for _, st := range []*statement{v.checkType, v.serviceAt} {
		if st != nil {
			at = *st
		}
	}
	switch v.kind {
	case "connect":
		return lvs.CheckConnect, 0
	case "ping":
		return lvs.CheckPing, 0
	case "external":
		return lvs.CheckExternal, 0
	case "external-perl":
		r.warnf(*v.checkType, "checktype external-perl is not carried out; %s stands in", v.standIn())
		return lvs.CheckConnect, 0
	case "on":
		return lvs.CheckOn, 0
	case "off":
		return lvs.CheckOff, 0
	}
	if kind := kindByService[v.service]; kind != "" {
		return kind, v.every
	}
	if v.service != "none" {
		r.warnf(at, "the check of service %s is not carried out; %s stands in", v.service, v.standIn())
		return lvs.CheckConnect, 0
	}
	if v.every > 0 {
		r.warnf(at, "checktype %d has no service to ask; %s stands in", v.every, v.standIn())
		return lvs.CheckConnect, 0
	}
	r.warnf(at, "no service is known to be asked here, so that every real server counts as up, as with ldirectord; add checktype=connect or service=…")
	return lvs.CheckOn, 0
}

// standIn is what a connect check does for v.
func (v *virtual) standIn() string {
	if v.head.mark == 0 && v.protocol == lvs.UDP {
		return "a ping"
	}
	return "a connect check"
}

// timeouts are checktimeout and negotiatetimeout. Each falls back on the
// other one of the same section before the global ones are asked.
func (r *reader) timeouts(v *virtual) (connect, negotiate time.Duration) {
	g := r.settings
	return seconds(first(v.checkTimeout, v.negotiateTimeout, g.checkTimeout, g.negotiateTimeout, 5)),
		seconds(first(v.negotiateTimeout, v.checkTimeout, g.negotiateTimeout, g.checkTimeout, 30))
}

func (r *reader) interval(v *virtual) int {
	own := v.checkInterval
	if !r.fork {
		own = 0
	}
	return first(own, r.settings.checkInterval, 10)
}

// first is the first of the numbers that was said.
func first(numbers ...int) int {
	for _, n := range numbers {
		if n != 0 {
			return n
		}
	}
	return 0
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// usesQuestion tells whether a kind of check sends a request and looks at the answer.
func usesQuestion(k lvs.CheckKind) bool {
	return k == lvs.CheckHTTP || k == lvs.CheckHTTPS || k == lvs.CheckSimple
}

// requestOf is a request as the check sends it. The original puts a slash
// before every request and takes it off again for simpletcp; a request with
// the service's own scheme in it is a whole URL.
func requestOf(k lvs.CheckKind, s string) string {
	if k == lvs.CheckSimple {
		return strings.ReplaceAll(strings.TrimPrefix(s, "/"), `\n`, "\n")
	}
	s = strings.ReplaceAll(s, " ", "%20")
	if i := strings.Index(s, string(k)+"://"); i >= 0 {
		return s[i:]
	}
	if !strings.HasPrefix(s, "/") {
		s = "/" + s
	}
	return s
}
