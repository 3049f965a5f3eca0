package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Router is a virtual router as it was asked for.
type Router struct {
	lvs.Router
	Place Place
}

// The bounds of a virtual router.
const (
	MinAdvertInterval = 10 * time.Millisecond
	MaxAdvertInterval = 4095 * 10 * time.Millisecond // 12 bits of centiseconds
	maxRouterID       = 255
	maxPassword       = 8 // bytes, of version 2
	maxHeld           = 255
)

var announceKeys = &object{name: "announce", help: "How the neighbours are told that an address has come: gratuitous ARP, unsolicited neighbour advertisements.", keys: []key{
	{name: "repeat", form: formNumber, def: "5", min: 1, max: 100, help: "how often in one burst"},
	{name: "delay", form: formDuration, def: "5s", min: 0, max: int64(time.Hour), help: "from the first burst to a second one; 0s: no second"},
	{name: "refresh", form: formDuration, def: "0s", min: 0, max: int64(day), help: "from one burst to the next as long as the address is held; 0s: none"},
}}

var routerKeys = &object{name: "router", help: "A virtual router (VRRP): addresses that several directors share.", must: []string{"name", "interface", "id", "addresses"}, keys: []key{
	{name: "name", form: formText, help: "how it is called in commands, events and metrics"},
	{name: "interface", form: formText, help: "the interface where its adverts travel and its addresses are held"},
	{name: "id", form: formNumber, min: 1, max: maxRouterID, help: "the number of the router, the same on all its directors and used once on a segment"},
	{name: "version", form: formNumber, def: "3", min: 2, max: 3, help: "of VRRP; 2 for old peers"},
	{name: "priority", form: formNumber, def: "100", min: 1, max: 255, help: "the director with the highest holds the addresses; 255: they are its own"},
	{name: "interval", form: formDuration, def: "100ms", min: int64(MinAdvertInterval), max: int64(255 * time.Second), help: "between two adverts; three that are missed let another take over. Version 3: up to 40.95s; version 2: whole seconds, the same on all directors, 1s by default"},
	{name: "preempt", form: formBool, def: "true", help: "take the addresses from a director of lower priority"},
	{name: "preempt_delay", form: formDuration, def: "0s", min: 0, max: int64(day), help: "how long a director of lower priority is let be before that"},
	{name: "group", form: formText, help: "routers of one group move together: the inside address of a NAT director with the outside one"},
	{name: "password", form: formText, help: "version 2: up to 8 bytes that all its directors know. It travels in the clear"},
	{name: "source", form: formText, help: "the address adverts come from; none: the interface's first one (IPv6: its link-local one)"},
	{name: "peers", form: formTexts, help: "addresses of the other directors, to whom alone adverts go then; none: multicast"},
	{name: "addresses", form: formTexts, help: "what the active director holds, and adverts name: 192.0.2.1/24, or with another interface 192.0.2.1/24 dev eth1; all of one family. Without /BITS: /32, /128"},
	{name: "also", form: formTexts, help: "more addresses that move with them and are in no advert, of any family"},
	{name: "announce", form: formObject, of: announceKeys, help: announceKeys.help},
}}

// router reads one entry of routers.
func (r *reader) router(f fields) Router {
	c := Router{Place: r.place(f.at)}
	c.Version, c.Priority, c.Preempt, c.Announce = 3, 100, true, lvs.DefaultAnnouncement()
	f.text("name", &c.Name)
	f.text("interface", &c.Interface)
	readNumber(f, "id", &c.ID)
	readNumber(f, "version", &c.Version)
	readNumber(f, "priority", &c.Priority)
	if c.Interval = 100 * time.Millisecond; c.Version == 2 {
		c.Interval = time.Second
	}
	f.duration("interval", &c.Interval)
	f.bool("preempt", &c.Preempt)
	f.duration("preempt_delay", &c.Delay)
	f.text("group", &c.Group)
	f.text("password", &c.Password)
	var text string
	if f.text("source", &text) {
		c.Source = r.plainAddress(f.node["source"], "source", text)
	}
	for _, n := range f.texts("peers") {
		if a := r.plainAddress(n, "peers", n.Value); a.IsValid() {
			c.Peers = append(c.Peers, a)
		}
	}
	c.Addresses, c.Also = r.held(f, "addresses"), r.held(f, "also")
	if a, ok := f.child("announce"); ok {
		readNumber(a, "repeat", &c.Announce.Repeat)
		a.duration("delay", &c.Announce.Delay)
		a.duration("refresh", &c.Announce.Refresh)
	}
	return c
}

func (r *reader) plainAddress(n *yaml.Node, name, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		r.errorf(n, "%s: %q is no address; write 192.0.2.1 or 2001:db8::1", name, text)
		return netip.Addr{}
	}
	return a.Unmap()
}

// held reads a list of addresses as they stand on interfaces.
func (r *reader) held(f fields, name string) (out []lvs.HeldAddress) {
	for _, n := range f.texts(name) {
		a, err := ParseHeld(n.Value)
		if err != nil {
			r.errorf(n, "%s: %v", name, err)
			continue
		}
		out = append(out, a)
	}
	return out
}

// ParseHeld reads "192.0.2.1/24 dev eth0", of which all but the address may be
// missing.
func ParseHeld(text string) (a lvs.HeldAddress, err error) {
	f := strings.Fields(text)
	if len(f) != 1 && (len(f) != 3 || f[1] != "dev") {
		return a, fmt.Errorf("%q is no address to hold; write 192.0.2.1/24, or 192.0.2.1/24 dev eth1", text)
	}
	if len(f) == 3 {
		a.Interface = f[2]
	}
	p, err := netip.ParsePrefix(f[0])
	if err != nil {
		addr, err := netip.ParseAddr(f[0])
		if err != nil || addr.Zone() != "" {
			return a, fmt.Errorf("%q is no address; write 192.0.2.1/24 or 2001:db8::1/64", f[0])
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	a.Prefix = p
	return a, nil
}

// routers are the rules across the fields of virtual routers.
func (v *validator) routers(c *Config) {
	names, ids, held := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range c.Routers {
		r := &c.Routers[i]
		v.router(r)
		once := func(seen map[string]int, key, what string) {
			if line, ok := seen[key]; ok {
				v.Errorf(r.Place, "%s, as in line %d", what, line)
				return
			}
			seen[key] = r.Place.Line
		}
		once(names, r.Name, fmt.Sprintf("router %s is there already", r.Name))
		once(ids, fmt.Sprint(r.Interface, r.ID, r.Family()), fmt.Sprintf("router %s has id %d on %s", r.Name, r.ID, r.Interface))
		for _, a := range r.Held() {
			once(held, a.Prefix.Addr().String(), fmt.Sprintf("router %s holds %s", r.Name, a.Prefix.Addr()))
		}
	}
}

func (v *validator) router(r *Router) {
	at := r.Place
	if r.Name == "" || strings.ContainsFunc(r.Name, func(c rune) bool { return c <= ' ' || c == '/' || c == 0x7f }) || len(r.Name) > 64 {
		v.Errorf(at, "router: %q cannot be a name; use up to 64 letters, digits and signs, no blanks or slashes", r.Name)
	}
	if why := interfaceFault(r.Interface, nil); why != "" {
		v.Errorf(at, "router %s: %s", r.Name, why)
	}
	if r.ID == 0 {
		v.Errorf(at, "router %s: an id from 1 to 255", r.Name)
	}
	if r.Priority == 0 {
		v.Errorf(at, "router %s: a priority from 1 to 255", r.Name)
	}
	v.interval(r)
	v.password(r)
	v.held(r)
	if r.Priority == 255 && !r.Preempt {
		v.Warnf(at, "router %s: the owner of the addresses (priority 255) takes them whatever preempt says", r.Name)
	}
	if r.Delay > 0 && !r.Preempt {
		v.Warnf(at, "router %s: preempt_delay does nothing without preempt", r.Name)
	}
	for _, p := range append(r.Peers[:len(r.Peers):len(r.Peers)], r.Source) {
		if p.IsValid() && len(r.Addresses) > 0 && lvs.FamilyOf(p) != r.Family() {
			v.Errorf(at, "router %s: %s is of another address family than its addresses", r.Name, p)
		}
	}
}

func (v *validator) interval(r *Router) {
	switch {
	case r.Version == 2 && (r.Interval < time.Second || r.Interval > 255*time.Second || r.Interval%time.Second != 0):
		v.Errorf(r.Place, "router %s: an interval of %s; version 2 has whole seconds from 1s to 255s", r.Name, brief(r.Interval))
	case r.Version == 3 && (r.Interval < MinAdvertInterval || r.Interval > MaxAdvertInterval || r.Interval%MinAdvertInterval != 0):
		v.Errorf(r.Place, "router %s: an interval of %s; version 3 has hundredths of a second from 10ms to 40.95s", r.Name, brief(r.Interval))
	case r.Version != 2 && r.Version != 3:
		v.Errorf(r.Place, "router %s: version %d; 2 or 3", r.Name, r.Version)
	}
}

func (v *validator) password(r *Router) {
	switch {
	case r.Password == "":
	case r.Version == 3:
		v.Errorf(r.Place, "router %s: version 3 has no passwords; leave it out, or use version 2 on all directors", r.Name)
	case len(r.Password) > maxPassword:
		v.Errorf(r.Place, "router %s: a password of %d bytes; version 2 has room for %d", r.Name, len(r.Password), maxPassword)
	}
}

func (v *validator) held(r *Router) {
	if len(r.Addresses) == 0 || len(r.Addresses)+len(r.Also) > maxHeld {
		v.Errorf(r.Place, "router %s: from 1 to %d addresses", r.Name, maxHeld)
		return
	}
	for _, a := range r.Held() {
		if why := unusable(a.Prefix.Addr()); why != "" {
			v.Errorf(r.Place, "router %s cannot hold %s: %s", r.Name, a.Prefix.Addr(), why)
		}
		if why := interfaceFault(a.Interface, nil); why != "" {
			v.Errorf(r.Place, "router %s, %s: %s", r.Name, a.Prefix, why)
		}
	}
	for _, a := range r.Addresses {
		if lvs.FamilyOf(a.Prefix.Addr()) != r.Family() {
			v.Errorf(r.Place, "router %s: %s is of another address family than %s; put it under also", r.Name, a.Prefix, r.Addresses[0].Prefix)
		}
	}
	if r.Version == 2 && r.Family() == lvs.IPv6 {
		v.Errorf(r.Place, "router %s: version 2 is for IPv4; IPv6 has version 3", r.Name)
	}
}

// routerNode is a router as an entry of its own.
func routerNode(r Router) *mapping {
	m := &mapping{}
	m.text("name", r.Name)
	m.text("interface", r.Interface)
	m.word("id", fmt.Sprint(r.ID))
	m.number("version", int(r.Version), 3)
	m.number("priority", int(r.Priority), 100)
	if r.Version == 2 {
		m.duration("interval", r.Interval, time.Second)
	} else {
		m.duration("interval", r.Interval, 100*time.Millisecond)
	}
	if !r.Preempt {
		m.word("preempt", "false")
	}
	m.duration("preempt_delay", r.Delay, 0)
	if r.Group != "" {
		m.text("group", r.Group)
	}
	if r.Password != "" {
		m.text("password", r.Password)
	}
	if r.Source.IsValid() {
		m.text("source", r.Source.String())
	}
	var peers []string
	for _, p := range r.Peers {
		peers = append(peers, p.String())
	}
	m.texts("peers", peers)
	m.texts("addresses", heldTexts(r.Addresses))
	m.texts("also", heldTexts(r.Also))
	a, def := &mapping{}, lvs.DefaultAnnouncement()
	a.number("repeat", r.Announce.Repeat, def.Repeat)
	a.duration("delay", r.Announce.Delay, def.Delay)
	a.duration("refresh", r.Announce.Refresh, def.Refresh)
	m.child("announce", a)
	return m
}

func heldTexts(all []lvs.HeldAddress) (out []string) {
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}
