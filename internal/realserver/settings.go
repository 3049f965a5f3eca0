package realserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// number is a setting's value; -1: it is not there.
func (f Facts) number(key string) int {
	n, err := strconv.Atoi(strings.TrimSpace(f.Settings[key]))
	if err != nil {
		return -1
	}
	return n
}

func conf4(link, name string) string { return "net/ipv4/conf/" + link + "/" + name }
func conf6(link, name string) string { return "net/ipv6/conf/" + link + "/" + name }

// effective is what the kernel goes by: the larger of all and the interface's.
func (f Facts) effective(link, name string) int {
	return max(f.number(conf4("all", name)), f.number(conf4(link, name)))
}

// Settings are the ones Check reads, so that they can be collected.
func Settings(w Wish, links []Link) []string {
	keys := []string{conf4("all", "arp_ignore"), conf4("all", "arp_announce"), conf4("all", "rp_filter"),
		"net/ipv4/ip_forward", conf6("all", "forwarding"), "net/ipv6/bindv6only"}
	for _, l := range links {
		for _, name := range []string{"arp_ignore", "arp_announce", "rp_filter"} {
			keys = append(keys, conf4(l.Name, name))
		}
		keys = append(keys, conf6(l.Name, "disable_ipv6"))
	}
	return keys
}

func (f Facts) set(key, now string) *Change {
	return &Change{Setting: &Setting{Key: key, Was: strings.TrimSpace(f.Settings[key]), Now: now}}
}

func sysctl(key, value string) string { return "sysctl -w " + key + "=" + value }

// ipv6On: where IPv6 is switched off, no address of it can stand or arrive.
func ipv6On(w Wish, f Facts) (list []Requirement) {
	if len(w.family(true)) == 0 {
		return nil
	}
	for _, l := range append(f.loopback(), f.Arrivals(w)...) {
		key := conf6(l.Name, "disable_ipv6")
		r := Requirement{Name: "IPv6 on " + l.Name, State: OK, Found: "switched on"}
		if l.Loopback {
			// Only of lo is it needed that weir switches it on itself.
			r.Change = f.set(key, "0")
		}
		if f.number(key) != 0 {
			r.State, r.Found, r.Fix = Wrong, "switched off; an IPv6 address cannot stand there", sysctl(key, "0")
			if !l.Loopback {
				r.State, r.Found = Look, "switched off; packets for IPv6 virtual addresses cannot arrive there"
			}
		}
		list = append(list, r)
	}
	return list
}

func (f Facts) loopback() (list []Link) {
	for _, l := range f.Links {
		if l.Loopback {
			list = append(list, l)
		}
	}
	return list
}

// arp: the host has the address but must not say so, else the switch sends it
// the clients' packets past the director. IPv6 needs nothing: neighbours are
// asked for on the interface that has the address, and lo is asked by nobody.
func arp(w Wish, f Facts) []Requirement {
	if len(w.family(false)) == 0 {
		return nil
	}
	return []Requirement{
		f.everywhere(w, "arp_ignore", "1", func(n int) bool { return n == 1 || n == 2 || n == 8 || n == 3 && f.hostScope(w) },
			"ARP requests for the virtual addresses are answered by %s: clients' packets may come here past the director, or go to another real server"),
		f.everywhere(w, "arp_announce", "2", func(n int) bool { return n >= 2 },
			"on %s ARP requests may carry a virtual address as sender: the router then takes this host for the director"),
	}
}

// hostScope: arp_ignore=3 hides addresses of scope host only.
func (f Facts) hostScope(w Wish) bool {
	for _, a := range f.Addresses {
		for _, v := range w.family(false) {
			if a.Prefix.Addr() == v && !a.Host {
				return false
			}
		}
	}
	return true
}

// everywhere asks a setting of all interfaces that speak ARP, and sets it for
// all, those that come later included.
func (f Facts) everywhere(_ Wish, name, value string, good func(int) bool, trouble string) Requirement {
	key := conf4("all", name)
	r := Requirement{Name: name, State: OK, Found: fmt.Sprintf("all=%d", f.number(key)), Change: f.set(key, value)}
	var bad []string
	repairable := true
	for _, l := range f.Links {
		if !l.Ethernet || !l.Up || good(f.effective(l.Name, name)) {
			continue
		}
		bad = append(bad, l.Name)
		n, _ := strconv.Atoi(value)
		repairable = repairable && good(max(n, f.number(conf4(l.Name, name))))
	}
	if len(bad) == 0 {
		return r
	}
	r.State = Wrong
	r.Found = fmt.Sprintf("%s; "+trouble, r.Found, strings.Join(bad, ", "))
	r.Fix = sysctl(key, value)
	if !repairable {
		r.Change = nil
		r.Fix = fmt.Sprintf("set %s of %s to %s by hand: the larger of all's and the interface's counts", name, strings.Join(bad, ", "), value)
	}
	return r
}

// reversePath: a packet from a client that arrives where no answer would leave
// is dropped by a strict rp_filter.
func reversePath(w Wish, f Facts) (list []Requirement) {
	if len(w.family(false)) == 0 {
		return nil
	}
	check := f.Arrivals(w)
	if w.tunnels() {
		check = append(check, f.kernelTunnels()...)
	}
	for _, l := range check {
		list = append(list, f.reverse(l))
	}
	return list
}

// reverse asks one interface. On one without an IPv4 address, such as tunl0,
// the kernel drops in loose mode as well: only 0 lets packets in there.
func (f Facts) reverse(l Link) Requirement {
	const strict, loose = 1, 2
	key, n := conf4(l.Name, "rp_filter"), f.effective(l.Name, "rp_filter")
	want := "2"
	if !f.has4(l) {
		want = "0"
	}
	r := Requirement{Name: "rp_filter of " + l.Name, State: OK, Found: strconv.Itoa(n), Change: f.set(key, want)}
	word := map[int]string{strict: "strict", loose: "loose, which without an IPv4 address on " + l.Name + " is as good as strict"}[n]
	switch {
	case word == "" || n == loose && f.has4(l):
		return r
	case f.answersLeave(l.Name):
		r.Found = word + ", but answers leave by the same interface"
		return r
	case l.Ethernet:
		r.Found = word + ", and the default route leads elsewhere: packets of clients are dropped when they arrive here"
	default:
		r.Found = word + ": every unwrapped packet is dropped, since answers to clients never leave by a tunnel"
	}
	r.State, r.Fix = Wrong, sysctl(key, want)
	if want == "0" && f.number(conf4("all", "rp_filter")) > 0 {
		r.Change = nil
		r.Fix = fmt.Sprintf("ip address add ADDRESS/32 dev %s, one of this host's own; then weir realserver up (all's rp_filter is not 0, and the larger counts)", l.Name)
	}
	return r
}

func (f Facts) has4(l Link) bool {
	return slices.ContainsFunc(f.Addresses, func(a Address) bool { return a.Link == l.Name && a.Prefix.Addr().Is4() })
}

func (f Facts) answersLeave(link string) bool {
	found := false
	for _, d := range f.Defaults {
		if !d.V6 {
			if d.Link != link {
				return false
			}
			found = true
		}
	}
	return found
}
