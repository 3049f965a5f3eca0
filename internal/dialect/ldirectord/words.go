package ldirectord

// where tells in which section a directive may stand.
type where uint8

const (
	anywhere where = iota + 1
	globalOnly
	blockOnly
)

var directives = map[string]where{
	"checktimeout": anywhere, "negotiatetimeout": anywhere, "checkinterval": anywhere,
	"checkcount": anywhere, "failurecount": anywhere, "fallback": anywhere, "fallback6": anywhere,
	"fallbackcommand": anywhere, "quiescent": anywhere, "cleanstop": anywhere, "smtp": anywhere,
	"emailalert": anywhere, "emailalertfreq": anywhere, "emailalertstatus": anywhere,
	"connecttimeout": anywhere,

	"virtual": globalOnly, "virtual6": globalOnly, "autoreload": globalOnly, "callback": globalOnly,
	"logfile": globalOnly, "emailalertfrom": globalOnly, "execute": globalOnly, "supervised": globalOnly,
	"fork": globalOnly, "readdquiescent": globalOnly, "maintenancedir": globalOnly, "timeout": globalOnly,

	"real": blockOnly, "real6": blockOnly, "checktype": blockOnly, "service": blockOnly,
	"checkcommand": blockOnly, "checkport": blockOnly, "request": blockOnly, "receive": blockOnly,
	"httpmethod": blockOnly, "virtualhost": blockOnly, "login": blockOnly, "passwd": blockOnly,
	"database": blockOnly, "secret": blockOnly, "scheduler": blockOnly, "persistent": blockOnly,
	"netmask": blockOnly, "schedflags": blockOnly, "ops": blockOnly, "protocol": blockOnly,
	"monitorfile": blockOnly, "servicename": blockOnly, "comment": blockOnly, "load": blockOnly,
}

func isKnown(name string) bool      { return directives[name] != 0 }
func isGlobalOnly(name string) bool { return directives[name] == globalOnly }
func inBlockOnly(name string) bool  { return directives[name] == blockOnly }

// instead says what happens in place of a directive this version does not
// carry out.
var instead = map[string]string{
	"emailalert":       "no mail is sent; changes are in the log and in weir's events",
	"emailalertfrom":   "no mail is sent",
	"emailalertfreq":   "no mail is sent",
	"emailalertstatus": "no mail is sent",
	"smtp":             "no mail is sent",
	"callback":         "no program is run when the file changes",
	"execute":          "the other configuration is not started; write its virtual services into this file",
	"supervised":       "weir run always stays in the foreground",
	"fork":             "weir asks all real servers side by side in any case; fork=yes only lets checkinterval count inside a virtual service",
	"readdquiescent":   "a real server that is missing is put back when it answers",
	"maintenancedir":   "files there are not looked at; set weight 0 to take a real server out",
	"monitorfile":      "no such file is written; weir status and weir's events tell the same",
	"fallbackcommand":  "no program is run when the fallback server steps in",
	"servicename":      "",
	"comment":          "",
	"load":             "",
	"login":            "no check of this version logs in",
	"passwd":           "no check of this version logs in",
	"database":         "no check of this version logs in",
	"secret":           "no check of this version logs in",
}

// notYet warns that a directive does nothing here.
func (r *reader) notYet(st statement) {
	if text := instead[st.name]; text != "" {
		r.warnf(st, "%s is not carried out: %s", st.name, text)
	}
}
