package config

import (
	"strconv"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A form is what may stand behind a key of weir.yaml.
type form uint8

const (
	formText form = iota
	formBool
	formNumber
	formDuration
	formWord   // one of key.words
	formTexts  // a list of texts
	formObject // a mapping, of key.of
	formList   // a list of mappings, of key.of
)

// A key is one key of weir.yaml. These tables are the only place where keys
// are named with their bounds: the parser obeys them and the schema prints them.
type key struct {
	name     string
	form     form
	help     string
	def      string   // as people would write it; empty: none
	min, max int64    // of numbers; of durations in nanoseconds
	words    []string // of formWord
	of       *object
}

// An object is a mapping of weir.yaml with all the keys it may hold.
type object struct {
	name  string
	help  string
	keys  []key
	must  []string // keys that have to be there
	short string   // the key a bare value stands for; empty: no such short form
}

func (o *object) key(name string) *key {
	for i := range o.keys {
		if o.keys[i].name == name {
			return &o.keys[i]
		}
	}
	return nil
}

const (
	day         = 24 * time.Hour
	maxInterval = day
)

var timeoutKeys = &object{name: "timeouts", help: "How long a connection is remembered after its last packet.", keys: []key{
	{name: "tcp", form: formDuration, def: "15m", min: int64(time.Second), max: int64(MaxTimeout), help: "established TCP connections"},
	{name: "tcp_fin", form: formDuration, def: "2m", min: int64(time.Second), max: int64(MaxTimeout), help: "TCP connections that have seen a FIN"},
	{name: "udp", form: formDuration, def: "5m", min: int64(time.Second), max: int64(MaxTimeout), help: "UDP flows"},
}}

var engineKeys = &object{name: "engine", help: "The packet engine.", keys: []key{
	{name: "mode", form: formWord, def: "auto", words: []string{"auto", "xdp", "tc"}, help: "where packets are taken: auto uses XDP where the driver runs it natively, else tc"},
	{name: "interfaces", form: formTexts, help: "interfaces packets are taken from; none: every Ethernet-like interface that is up"},
	{name: "connections", form: formNumber, def: "1000000", min: MinConnections, max: MaxConnections, help: "entries of the connection table of IPv4, and of that of IPv6 if nothing else is said"},
	{name: "connections_ipv6", form: formNumber, min: MinConnections, max: MaxConnections, help: "entries of the connection table of IPv6; none: as many as connections"},
	{name: "wide", form: formNumber, def: "262144", min: MinConnections, max: MaxConnections, help: "entries of the wide table, for both address families together: templates, and the connections of persistent, firewall-mark and every-port services"},
	{name: "half_open", form: formNumber, def: "262144", min: MinConnections, max: MaxConnections, help: "entries of the half-open table, for each address family; of IPv6 no more than connections_ipv6 says"},
	{name: "timeouts", form: formObject, of: timeoutKeys, help: timeoutKeys.help},
	{name: "vs", form: formObject, of: sysctlKeys, help: sysctlKeys.help},
}}

// sysctlKeys are the settings of net.ipv4.vs, each under its own name.
var sysctlKeys = func() *object {
	o := &object{name: "vs", help: "The settings the kernel's IPVS has under net.ipv4.vs."}
	for _, s := range lvs.AllSysctls() {
		i := s.Info()
		o.keys = append(o.keys, key{name: i.Name, form: formNumber, def: strconv.Itoa(i.Default), min: int64(i.Min), max: int64(i.Max), help: i.Help})
	}
	return o
}()

var markKeys = &object{name: "mark", help: "Packets that get a firewall mark, when they belong to no connection yet.", must: []string{"mark"}, keys: []key{
	{name: "mark", form: formNumber, min: 1, max: 1<<32 - 1, help: "the mark; a service listens to it with: listen: fwmark 1"},
	{name: "protocol", form: formWord, words: []string{"tcp", "udp", "sctp"}, help: "none: all three"},
	{name: "from", form: formText, help: "address or network of the client; none: any"},
	{name: "to", form: formText, help: "address or network the packet is for; none: any"},
	{name: "ports", form: formTexts, help: "ports the packet is for, and ranges of them: \"80\", \"1024-65535\"; none: every port"},
	{name: "source_ports", form: formTexts, help: "ports the packet comes from; none: every port"},
	{name: "interface", form: formText, help: "interface it arrives on; none: any"},
}}

var checkKeys = &object{name: "check", help: "How a real server is asked whether it is well.", short: "kind", keys: []key{
	{name: "kind", form: formWord, def: "connect", words: kindWords(), help: "what is asked: a TCP connection (a ping for UDP services), an HTTP or HTTPS request, a line of text, a ping, a program; on and off ask nothing"},
	{name: "port", form: formNumber, def: "0", min: 0, max: 65535, help: "port that is asked; 0: the real server's own"},
	{name: "request", form: formText, def: "/", help: "http, https: a path, or a whole URL that is asked instead of the real server; simpletcp: the text that is sent, with no default"},
	{name: "receive", form: formText, help: "http, https, simpletcp: regular expression (RE2) the answer must match; none: any answer is good"},
	{name: "host", form: formText, help: "http, https: Host header and TLS server name; none: the real server's address"},
	{name: "method", form: formWord, def: "GET", words: []string{"GET", "HEAD"}, help: "http, https: the method"},
	{name: "command", form: formText, help: "external: path of the program; it is given the virtual service's and the real server's address and port, and exit status 0 is good"},
	{name: "interval", form: formDuration, def: "10s", min: int64(100 * time.Millisecond), max: int64(maxInterval), help: "from the start of one check to the start of the next"},
	{name: "timeout", form: formDuration, def: "5s", min: int64(10 * time.Millisecond), max: int64(maxInterval), help: "a check without an answer for so long has failed"},
	{name: "attempts", form: formNumber, def: "1", min: 1, max: 100, help: "ping: questions in one check, each with its own timeout"},
	{name: "fall", form: formNumber, def: "1", min: 1, max: 1000, help: "failures in a row that take a real server out"},
	{name: "rise", form: formNumber, def: "1", min: 1, max: 1000, help: "good answers in a row that bring it back"},
	{name: "every", form: formNumber, def: "0", min: 0, max: 1000000, help: "http, https, simpletcp: after a good answer so many checks only connect; 0: none"},
	{name: "connect_timeout", form: formDuration, min: int64(10 * time.Millisecond), max: int64(maxInterval), help: "timeout of those that only connect; none: timeout"},
}}

var forwardKey = key{name: "forward", form: formWord, def: "gate", words: []string{"gate", "masq", "ipip", "gue", "gre"},
	help: "the way to the real server: gate changes only the link-layer address, masq rewrites the destination, ipip, gue and gre wrap the packet"}

var tunnelKeys = &object{name: "tunnel", help: "How gue and gre wrap packets.", keys: []key{
	{name: "port", form: formNumber, def: "6080", min: 1, max: 65535, help: "UDP port of gue"},
	{name: "checksum", form: formWord, def: "nocsum", words: []string{"nocsum", "csum", "remcsum"}, help: "of the tunnel's own header; remcsum, of gue alone, leaves the packet's to the real server where it can"},
}}

var tunnelKey = key{name: "tunnel", form: formObject, of: tunnelKeys, help: tunnelKeys.help}

var fallbackKeys = &object{name: "fallback", help: "The server that answers when no real server is up.", short: "address", must: []string{"address"}, keys: []key{
	{name: "address", form: formText, help: "address, or address:port; without port: the service's"},
	withHelp(forwardKey, forwardKey.help+"; default: gate for a loopback address, else the service's", ""),
	tunnelKey,
}}

var persistenceKeys = &object{name: "persistence", help: "Later connections of a client go to the same real server.", short: "timeout", must: []string{"timeout"}, keys: []key{
	{name: "timeout", form: formDuration, min: int64(time.Second), max: int64(MaxTimeout), help: "how long after a client's last connection; whole seconds"},
	{name: "prefix", form: formNumber, min: 1, max: 128, help: "bits of the client's address that count; none: all"},
	{name: "netmask", form: formText, help: "instead of prefix: the mask of IPv4 clients, 255.255.255.0"},
	{name: "engine", form: formWord, words: []string{"sip"}, help: "sip: clients are told apart by their Call-ID, too; for UDP services"},
}}

var destinationKeys = &object{name: "destination", help: "A real server.", short: "address", must: []string{"address"}, keys: []key{
	{name: "address", form: formText, help: "address, or address:port; without port: the service's"},
	{name: "weight", form: formNumber, def: "1", min: 0, max: MaxWeight, help: "share of new connections; 0: keeps its connections, gets no new ones"},
	withHelp(forwardKey, forwardKey.help+"; default: the service's", ""),
	tunnelKey,
	{name: "upper", form: formNumber, def: "0", min: 0, max: 1<<32 - 1, help: "connections at which it gets no more; 0: no limit"},
	{name: "lower", form: formNumber, def: "0", min: 0, max: 1<<32 - 1, help: "connections below which it gets new ones again; 0: three quarters of upper"},
	{name: "check", form: formObject, of: checkKeys, help: "what differs from the service's check"},
}}

// defaultable are the keys a service takes from defaults when it does not say
// them itself.
var defaultable = []key{
	{name: "scheduler", form: formWord, def: "wlc", words: schedulerWords(), help: "how the real server of a new connection is chosen"},
	forwardKey,
	tunnelKey,
	{name: "quiescent", form: formBool, def: "false", help: "a failed real server stays in the table with weight 0, so that its connections go on, instead of being taken out"},
	{name: "clean_stop", form: formBool, def: "true", help: "weir down takes the service away"},
	{name: "check", form: formObject, of: checkKeys, help: checkKeys.help},
}

var serviceKeys = &object{name: "service", help: "A virtual service.", must: []string{"listen"}, keys: append([]key{
	{name: "listen", form: formText, help: "protocol, address and port: tcp 192.0.2.1:80, udp [2001:db8::1]:53; or a firewall mark: fwmark 3, fwmark 3 -6"},
	{name: "flags", form: formTexts, help: "of the scheduler: sh-fallback, sh-port, mh-fallback, mh-port, flag-1, flag-2, flag-3"},
	{name: "persistence", form: formObject, of: persistenceKeys, help: persistenceKeys.help},
	{name: "one_packet", form: formBool, def: "false", help: "every UDP packet is scheduled on its own"},
	{name: "fallback", form: formObject, of: fallbackKeys, help: fallbackKeys.help},
	{name: "destinations", form: formList, of: destinationKeys, help: "the real servers"},
}, withoutDefaults(defaultable)...)}

var defaultsKeys = &object{name: "defaults", help: "What services take when they do not say it themselves.", keys: defaultable}

var rootKeys = &object{name: "weir.yaml", help: "Configuration of weir.", keys: []key{
	{name: "auto_reload", form: formBool, def: "false", help: "watch the file and reload when its content changes"},
	{name: "log_file", form: formText, help: "absolute path of the file the log goes to, or a syslog facility (daemon, local0); none: standard error"},
	{name: "audit_file", form: formText, help: "absolute path of the file that tells who changed what over the API, a JSON object in each line; none: the log"},
	{name: "api", form: formObject, of: apiKeys, help: apiKeys.help},
	{name: "proc_files", form: formObject, of: procKeys, help: procKeys.help},
	{name: "dataplane", form: formWord, def: "ebpf", words: []string{"ebpf", "ipvs"}, help: "who forwards packets: ebpf, weir's own engine; ipvs, the kernel's IPVS"},
	{name: "drift", form: formWord, def: "report", words: []string{"report", "correct"}, help: "what to do when others change the table of the kernel's IPVS: report it, or also correct it"},
	{name: "engine", form: formObject, of: engineKeys, help: engineKeys.help},
	{name: "defaults", form: formObject, of: defaultsKeys, help: defaultsKeys.help},
	{name: "marks", form: formList, of: markKeys, help: "which packets get which firewall mark; the first that fits counts"},
	{name: "routers", form: formList, of: routerKeys, help: "virtual routers: the addresses that this director and its peers share"},
	{name: "services", form: formList, of: serviceKeys, help: "the virtual services"},
}}

func withHelp(k key, help, def string) key {
	k.help, k.def = help, def
	return k
}

// withoutDefaults is keys as they stand in a service, where the default is
// what the defaults section says.
func withoutDefaults(keys []key) []key {
	out := make([]key, len(keys))
	for i, k := range keys {
		out[i] = withHelp(k, k.help+"; default: that of the defaults section", "")
	}
	return out
}

func kindWords() []string {
	out := make([]string, len(checkKinds))
	for i, k := range checkKinds {
		out[i] = string(k)
	}
	return out
}

func schedulerWords() []string {
	out := make([]string, len(lvs.Schedulers))
	for i, s := range lvs.Schedulers {
		out[i] = string(s)
	}
	return out
}
