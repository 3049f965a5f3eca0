package realserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func interfaces(w Wish, f Facts) (list []Requirement) {
	for _, l := range f.loopback() {
		if !l.Up {
			list = append(list, Requirement{Name: "interface " + l.Name, State: Wrong, Found: "down; no packet reaches a program", Fix: "ip link set " + l.Name + " up"})
		}
	}
	for _, name := range w.Interfaces {
		r := Requirement{Name: "interface " + name, State: Wrong}
		l, found := f.link(name)
		switch {
		case !found:
			r.Found, r.Fix = "there is none of this name", "name the one where the director's packets arrive; ip link lists them"
		case !l.Ethernet:
			r.Found, r.Fix = "not Ethernet; weir unwraps on Ethernet interfaces only", "name the interface that tunnel packets arrive by"
		case l.Port:
			r.Found, r.Fix = "a port of a bridge or bond, which has the packets", "name the bridge or bond"
		case !l.Up:
			r.Found, r.Fix = "down", "ip link set "+name+" up"
		default:
			r.State, r.Found = OK, "up"
		}
		list = append(list, r)
	}
	if len(w.Interfaces) == 0 && len(f.Arrivals(w)) == 0 {
		list = append(list, Requirement{Name: "interface", State: Wrong, Found: "no Ethernet interface is up", Fix: "ip link set NAME up"})
	}
	return list
}

// addresses: the inner packet is for the virtual address, so the host must
// have it, whole (a shorter prefix would make neighbours of clients local) and
// where nobody asks for it.
func addresses(w Wish, f Facts) (list []Requirement) {
	for _, vip := range w.VIPs {
		list = append(list, f.address(vip))
	}
	return list
}

func (f Facts) address(vip netip.Addr) Requirement {
	whole := netip.PrefixFrom(vip, vip.BitLen())
	r := Requirement{Name: "address " + vip.String(), State: OK, Change: &Change{Address: &Standing{"lo", whole}}}
	var standing *Address
	for i, a := range f.Addresses {
		if a.Prefix.Addr() != vip {
			continue
		}
		l, _ := f.link(a.Link)
		switch {
		case l.arrives():
			return Requirement{Name: r.Name, State: Wrong, Found: "on " + a.Link + ", where it is answered for whatever arp_ignore says",
				Fix: fmt.Sprintf("ip address del %s dev %s; then weir realserver up", a.Prefix, a.Link)}
		case a.Prefix != whole && l.Loopback:
			return Requirement{Name: r.Name, State: Wrong, Found: fmt.Sprintf("on %s with %d bits: everything in %s is taken for this host", a.Link, a.Prefix.Bits(), a.Prefix.Masked()),
				Fix: fmt.Sprintf("ip address del %s dev %s; then weir realserver up", a.Prefix, a.Link)}
		}
		standing = &f.Addresses[i]
	}
	if standing != nil {
		r.Found = "on " + standing.Link
		return r
	}
	r.State, r.Found = Wrong, "missing; packets for it are not for this host"
	if forwards := map[bool]string{false: "net/ipv4/ip_forward", true: conf6("all", "forwarding")}[vip.Is6()]; f.number(forwards) > 0 {
		r.Found = "missing, and this host forwards: packets for it are sent back to the director, round and round"
	}
	r.Fix = "ip address add " + r.Change.Address.String()
	return r
}

func routes(w Wish, f Facts) (list []Requirement) {
	for _, v6 := range []bool{false, true} {
		if len(w.family(v6)) == 0 {
			continue
		}
		r := Requirement{Name: map[bool]string{false: "default route", true: "default route, IPv6"}[v6], State: Look,
			Found: "none; only clients this host has a route to are answered", Fix: "give it the clients' router: answers do not pass the director"}
		for _, d := range f.Defaults {
			if d.V6 == v6 {
				r.State, r.Found, r.Fix = OK, "by "+d.Link, ""
			}
		}
		list = append(list, r)
	}
	return list
}

// listeners: a server bound to the host's own address never sees what is sent
// to the virtual one.
func listeners(w Wish, f Facts) (list []Requirement) {
	for _, vip := range w.VIPs {
		var tcp, udp []uint16
		for _, l := range f.Listeners {
			a := l.Addr.Addr()
			takes := a == vip || a.IsUnspecified() && (a.Is6() == vip.Is6() || vip.Is4() && l.Both)
			switch {
			case !takes:
			case l.UDP:
				udp = append(udp, l.Addr.Port())
			default:
				tcp = append(tcp, l.Addr.Port())
			}
		}
		r := Requirement{Name: "listeners on " + vip.String(), State: OK, Found: ports("tcp", tcp) + ports("udp", udp)}
		if r.Found == "" {
			r.State, r.Found, r.Fix = Look, "no program takes connections to it", "let the server listen on "+vip.String()+" or on all addresses"
		}
		r.Found = strings.TrimSpace(r.Found)
		list = append(list, r)
	}
	return list
}

func ports(protocol string, list []uint16) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return fmt.Sprintf("%s %s ", protocol, strings.Trim(strings.ReplaceAll(fmt.Sprint(slices.Compact(list)), " ", ", "), "[]"))
}

func firewall(w Wish, f Facts) []Requirement {
	var chains []string
	for _, c := range f.Chains {
		var what []string
		if c.Drops {
			what = append(what, "policy drop")
		}
		if c.Rejects > 0 {
			what = append(what, fmt.Sprintf("%d rules that drop or reject", c.Rejects))
		}
		if len(what) > 0 {
			chains = append(chains, fmt.Sprintf("%s %s %s (%s)", c.Family, c.Table, c.Name, strings.Join(what, ", ")))
		}
	}
	if len(chains) == 0 {
		return []Requirement{{Name: "firewall", State: OK, Found: "no chain of nftables drops packets for this host"}}
	}
	fix := fmt.Sprintf("see that packets from any client to %s are accepted", join(w.VIPs))
	if w.tunnels() && f.Unwrap == nil {
		fix += ", and the tunnel packets of the director"
	}
	return []Requirement{{Name: "firewall", State: Look, Found: strings.Join(chains, "; "), Fix: fix}}
}

// lost is evidence, not a cause: counters that rise when something is wrong.
func lost(w Wish, f Facts) (list []Requirement) {
	if n := f.Lost.ReversePath; n > 0 {
		list = append(list, Requirement{Name: "lost: rp_filter", State: Look, Found: fmt.Sprintf("%d packets dropped since boot (TcpExtIPReversePathFilter)", n),
			Fix: "if it rises while clients try, rp_filter drops them"})
	}
	if n := f.Lost.UnknownProtocol; n > 0 && w.tunnels() {
		list = append(list, Requirement{Name: "lost: unknown protocol", State: Look, Found: fmt.Sprintf("%d packets of a protocol nobody takes since boot (IpInUnknownProtos)", n),
			Fix: "if it rises while clients try, tunnel packets arrive that nobody unwraps: another method, address or sender than said here"})
	}
	return list
}

// answers: on this segment one machine may say that it has a virtual address,
// the director.
func answers(w Wish, f Facts) (list []Requirement) {
	if f.Answers == nil {
		return nil
	}
	for _, vip := range w.VIPs {
		var macs []string
		for _, a := range f.Answers {
			if a.VIP == vip && !slices.Contains(macs, a.MAC) {
				macs = append(macs, a.MAC)
			}
		}
		slices.Sort(macs)
		r := Requirement{Name: "who answers for " + vip.String(), State: OK}
		switch len(macs) {
		case 0:
			r.Found = "nobody on this segment; right if the director is on another, or stands by"
		case 1:
			r.Found = macs[0] + ", which should be the director"
		default:
			r.State, r.Found = Wrong, strings.Join(macs, " and ")+": clients reach whichever is faster"
			r.Fix = "one is the director; on the others run weir realserver check"
		}
		list = append(list, r)
	}
	return list
}
