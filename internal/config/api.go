package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/weir-lb/weir/internal/lvs"
)

// An API says where the API is served over TCP, and to whom. Without an
// address it is served on the unix socket alone.
type API struct {
	Listen      []netip.AddrPort
	Certificate string // path of the chain, PEM
	Key         string // path of its private key
	ClientCA    string // path of those that sign clients' certificates
	Clients     []APIClient
	Tokens      string // path of the token file
	Rate        int    // requests a second from one client
	Connections int    // at the same time, from all clients
	Place       Place
	Places      map[string]Place // of the keys that name files
}

// At is where a key that names a file was said.
func (a API) At(key string) Place {
	if at, ok := a.Places[key]; ok {
		return at
	}
	return a.Place
}

// Served tells whether the API is served over TCP.
func (a API) Served() bool { return len(a.Listen) > 0 }

// An APIClient is who comes with a certificate of that name.
type APIClient struct {
	Name  string
	Role  lvs.Role
	Place Place
}

// ProcFiles says where the texts of the kernel's /proc/net/ip_vs* are kept
// fresh. Without a directory nowhere.
type ProcFiles struct {
	Directory   string
	Interval    time.Duration
	Connections bool // those with a line for each connection, too
	Place       Place
}

var clientKeys = &object{name: "client", help: "Who comes with a certificate.", must: []string{"name", "role"}, keys: []key{
	{name: "name", form: formText, help: "common name of the certificate, or one of its DNS names, mail addresses or URIs"},
	{name: "role", form: formWord, words: lvs.Roles(), help: "what they may do: read looks, operate gives orders, admin changes table and configuration"},
}}

var apiKeys = &object{name: "api", help: "The API over TCP, with TLS. Without this section it is served on the unix socket alone.",
	must: []string{"listen", "certificate", "key"}, keys: []key{
		{name: "listen", form: formTexts, help: "addresses and ports it is served on: \"192.0.2.5:7443\", \"[::1]:7443\""},
		{name: "certificate", form: formText, help: "absolute path of the certificate, with those between it and its issuer's, as PEM"},
		{name: "key", form: formText, help: "absolute path of its private key, as PEM"},
		{name: "client_ca", form: formText, help: "absolute path of the certificates that sign those of clients, as PEM; none: clients need a token"},
		{name: "clients", form: formList, of: clientKeys, help: "whose certificates are let in, the first whose name fits counts"},
		{name: "tokens", form: formText, help: "absolute path of the file weir token writes; none: clients need a certificate"},
		{name: "rate", form: formNumber, def: "100", min: 1, max: 100000, help: "requests a second one client may make, twice as many at once"},
		{name: "connections", form: formNumber, def: "256", min: 4, max: 65536, help: "connections at the same time; one client address may have a quarter of them"},
	}}

var procKeys = &object{name: "proc_files", help: "The files of the kernel's IPVS under /proc/net, kept fresh in a directory of their own.",
	short: "directory", must: []string{"directory"}, keys: []key{
		{name: "directory", form: formText, help: "absolute path of the directory, which is made if it is not there"},
		{name: "interval", form: formDuration, def: "5s", min: int64(time.Second), max: int64(maxInterval), help: "how often they are looked after; what has not changed is not written"},
		{name: "connections", form: formBool, def: "true", help: "ip_vs_conn and ip_vs_conn_sync, too, which have a line for each connection"},
	}}

func (r *reader) api(f fields, a *API) {
	a.Place, a.Rate, a.Connections, a.Places = r.place(f.at), 100, 256, map[string]Place{}
	for _, n := range f.texts("listen") {
		at, err := netip.ParseAddrPort(n.Value)
		if err != nil {
			r.errorf(n, "listen: %q is no address with a port; write \"192.0.2.5:7443\" or \"[::1]:7443\"", n.Value)
			continue
		}
		if why := unservable(at, a.Listen); why != "" {
			r.errorf(n, "listen: %s", why)
			continue
		}
		a.Listen = append(a.Listen, at)
	}
	if n := f.node["listen"]; n != nil {
		a.Places["listen"] = r.place(n)
	}
	if n := f.node["listen"]; n != nil && len(f.texts("listen")) == 0 {
		r.errorf(n, "listen: no address; leave out the api section to serve the unix socket alone")
	}
	for _, p := range []struct {
		name string
		to   *string
	}{{"certificate", &a.Certificate}, {"key", &a.Key}, {"client_ca", &a.ClientCA}, {"tokens", &a.Tokens}} {
		r.path(f, p.name, p.to)
		if n := f.node[p.name]; n != nil {
			a.Places[p.name] = r.place(n)
		}
	}
	for _, c := range f.children("clients") {
		a.Clients = append(a.Clients, r.client(c))
	}
	readNumber(f, "rate", &a.Rate)
	readNumber(f, "connections", &a.Connections)
}

func (r *reader) client(f fields) APIClient {
	c := APIClient{Place: r.place(f.at)}
	var role string
	f.text("name", &c.Name)
	readWord(f, "role", &role)
	c.Role, _ = lvs.ParseRole(role) // the tables allow no other word
	return c
}

func (r *reader) proc(f fields, p *ProcFiles) {
	p.Place, p.Interval, p.Connections = r.place(f.at), 5*time.Second, true
	r.path(f, "directory", &p.Directory)
	f.duration("interval", &p.Interval)
	f.bool("connections", &p.Connections)
}

// path reads an absolute path.
func (r *reader) path(f fields, name string, to *string) {
	if !f.text(name, to) {
		return
	}
	if why := pathFault(*to); why != "" {
		n, _, _ := f.get(name)
		r.errorf(n, "%s: %s", name, why)
	}
}

func pathFault(path string) string {
	if strings.HasPrefix(path, "/") && !strings.ContainsRune(path, 0) {
		return ""
	}
	return fmt.Sprintf("%q is no absolute path; begin it with /", path)
}

// unservable says why the API cannot be served at that address, too.
func unservable(at netip.AddrPort, before []netip.AddrPort) string {
	a := at.Addr()
	switch {
	case at.Port() == 0:
		return fmt.Sprintf("%s needs a port above 0", at)
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("%s is not the address of one host", a)
	case a.Zone() != "":
		return fmt.Sprintf("%s has a zone; use an address without one", a)
	case slices.Contains(before, at):
		return fmt.Sprintf("%s is said twice", at)
	}
	return ""
}

// api holds the section to the rules across its keys.
func (v *validator) api(c *Config) {
	a := &c.API
	if !a.Served() {
		return
	}
	switch {
	case a.Tokens == "" && a.ClientCA == "":
		v.Errorf(a.Place, "api: nobody could log in; give tokens, or client_ca with clients")
	case a.ClientCA == "" && len(a.Clients) > 0:
		v.Errorf(a.Place, "api: clients come with certificates, and client_ca says whose to believe; it is missing")
	case a.ClientCA != "" && len(a.Clients) == 0:
		v.Warnf(a.Place, "api: client_ca without clients: every certificate is refused")
	}
	seen := map[string]Place{}
	for _, x := range a.Clients {
		if x.Name == "" {
			v.Errorf(x.Place, "client: the name is empty")
		} else if first, ok := seen[x.Name]; ok {
			v.Errorf(x.Place, "client %q is there already, in line %d", x.Name, first.Line)
		}
		seen[x.Name] = x.Place
	}
	for _, s := range c.Services {
		if s.Key.Protocol == lvs.TCP && slices.Contains(a.Listen, s.Key.Addr) {
			v.Errorf(s.Place, "virtual service %s takes the packets of the API, which listens there, too", s.Key)
		}
	}
}

func apiNode(a API) *mapping {
	m := &mapping{}
	if !a.Served() {
		return m
	}
	var listen []string
	for _, at := range a.Listen {
		listen = append(listen, at.String())
	}
	m.texts("listen", listen)
	m.text("certificate", a.Certificate)
	m.text("key", a.Key)
	if a.ClientCA != "" {
		m.text("client_ca", a.ClientCA)
	}
	clients := &yaml.Node{Kind: yaml.SequenceNode}
	for _, c := range a.Clients {
		cm := &mapping{}
		cm.text("name", c.Name)
		cm.word("role", c.Role.String())
		clients.Content = append(clients.Content, cm.node())
	}
	if len(clients.Content) > 0 {
		m.add("clients", clients)
	}
	if a.Tokens != "" {
		m.text("tokens", a.Tokens)
	}
	m.number("rate", a.Rate, 100)
	m.number("connections", a.Connections, 256)
	return m
}

func procNode(p ProcFiles) *mapping {
	m := &mapping{}
	if p.Directory != "" {
		m.text("directory", p.Directory)
		m.duration("interval", p.Interval, 5*time.Second)
		if !p.Connections {
			m.word("connections", "false")
		}
	}
	return m
}
