package realserver

import (
	"fmt"
	"net/netip"
)

// A State is how a requirement stands.
type State string

// The states. Look is for what only a person can decide.
const (
	OK    State = "ok"
	Wrong State = "wrong"
	Look  State = "look"
)

// A Requirement is one thing a real server needs.
type Requirement struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Found string `json:"found"`         // how it is
	Fix   string `json:"fix,omitempty"` // what to type, or to think of
	// Change is what Up does about it, or has done; nil: it is for a person.
	Change *Change `json:"change,omitempty"`
}

// A Change is one thing done to the host, and all that is needed to undo it.
// Exactly one of its parts is set.
type Change struct {
	Setting *Setting  `json:"setting,omitempty"`
	Address *Standing `json:"address,omitempty"`
	Unwrap  *Unwrap   `json:"unwrap,omitempty"`
}

// A Setting is a value under /proc/sys.
type Setting struct {
	Key string `json:"key"` // its path: net/ipv4/conf/all/arp_ignore
	Was string `json:"was"`
	Now string `json:"now"`
}

// A Standing is an address put on an interface.
type Standing struct {
	Link   string       `json:"interface"`
	Prefix netip.Prefix `json:"prefix"`
}

// Place names what a change changes: two changes of one place are about the
// same thing.
func (c Change) Place() string {
	switch {
	case c.Setting != nil:
		return "setting " + c.Setting.Key
	case c.Address != nil:
		return "address " + c.Address.Prefix.String() + " on " + c.Address.Link
	}
	return "unwrapping program"
}

// String tells the change as a person would type it.
func (c Change) String() string {
	switch {
	case c.Setting != nil:
		return fmt.Sprintf("sysctl -w %s=%s (was %s)", c.Setting.Key, c.Setting.Now, c.Setting.Was)
	case c.Address != nil:
		return "ip address add " + c.Address.String()
	case c.Unwrap != nil:
		return "unwrap " + c.Unwrap.String()
	}
	return "nothing"
}

// String is the address in the words of ip-address(8). An IPv6 address is
// preferred by nobody: the host shall not begin connections with it.
func (s Standing) String() string {
	if s.Prefix.Addr().Is6() {
		return fmt.Sprintf("%s dev %s nodad preferred_lft 0", s.Prefix, s.Link)
	}
	return fmt.Sprintf("%s dev %s scope host", s.Prefix, s.Link)
}

// Check compares a host with what the wish needs. What shall be done first
// stands first: a host that has the address before its settings would answer
// for it.
func Check(w Wish, f Facts) []Requirement {
	var list []Requirement
	for _, topic := range []func(Wish, Facts) []Requirement{
		interfaces, ipv6On, arp, reversePath, unwrapping, addresses, routes, listeners, firewall, lost, answers,
	} {
		list = append(list, topic(w, f)...)
	}
	return list
}

// Bad tells whether anything is wrong.
func Bad(list []Requirement) bool {
	for _, r := range list {
		if r.State == Wrong {
			return true
		}
	}
	return false
}

// Todo are the changes that put right what is wrong, in order.
func Todo(list []Requirement) (todo []Change) {
	for _, r := range list {
		if r.State == Wrong && r.Change != nil {
			todo = append(todo, *r.Change)
		}
	}
	return todo
}

// Stale are those of the earlier changes that nothing requires any more, the
// last one first.
func Stale(list []Requirement, earlier []Change) (stale, kept []Change) {
	needed := map[string]bool{}
	for _, r := range list {
		if r.Change != nil {
			needed[r.Change.Place()] = true
		}
	}
	for _, c := range earlier {
		if needed[c.Place()] {
			kept = append(kept, c)
		} else {
			stale = append([]Change{c}, stale...)
		}
	}
	return stale, kept
}

// Remember joins what was changed earlier and what is to be changed now. What
// a setting was before weir first changed it is what it will be again.
func Remember(earlier, todo []Change) []Change {
	all := append([]Change{}, earlier...)
next:
	for _, c := range todo {
		for i, e := range all {
			if e.Place() != c.Place() {
				continue
			}
			if c.Setting != nil {
				c.Setting = &Setting{c.Setting.Key, e.Setting.Was, c.Setting.Now}
			}
			all[i] = c
			continue next
		}
		all = append(all, c)
	}
	return all
}
