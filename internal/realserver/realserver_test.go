package realserver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var (
	vip4, vip6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	gate       = Wish{VIPs: []netip.Addr{vip4, vip6}, Methods: []Method{Gate}}
	ipip       = Wish{VIPs: []netip.Addr{vip4, vip6}, Methods: []Method{IPIP}}
)

// good is a host that lacks nothing for gate, and nothing for ipip once
// unwrapped has been applied.
func good() Facts {
	f := Facts{
		Links: []Link{{Index: 1, Name: "lo", Up: true, Loopback: true}, {Index: 2, Name: "eth0", Up: true, Ethernet: true}, {Index: 3, Name: "eth1", Ethernet: true}},
		Addresses: []Address{{"lo", netip.MustParsePrefix("127.0.0.1/8"), true}, {"lo", netip.MustParsePrefix("192.0.2.1/32"), true}, {"lo", netip.MustParsePrefix("2001:db8::1/128"), false},
			{"eth0", netip.MustParsePrefix("10.0.0.11/24"), false}, {"eth0", netip.MustParsePrefix("fe80::1/64"), false}},
		Settings:  map[string]string{},
		Defaults:  []Default{{false, "eth0"}, {true, "eth0"}},
		Listeners: []Listener{{Addr: netip.MustParseAddrPort("[::]:80"), Both: true}},
	}
	for _, l := range []string{"all", "lo", "eth0", "eth1"} {
		for _, s := range []string{"arp_ignore", "arp_announce", "rp_filter"} {
			f.Settings[conf4(l, s)] = "0"
		}
		f.Settings[conf6(l, "disable_ipv6")] = "0"
	}
	f.Settings[conf4("all", "arp_ignore")], f.Settings[conf4("all", "arp_announce")] = "1", "2"
	return f
}

var (
	tunl0 = Link{Index: 9, Name: "tunl0", Kind: "ipip", Up: true, Inner: Inner{IPv4: true}}
	sit0  = Link{Index: 10, Name: "sit0", Kind: "sit", Up: true, Inner: Inner{IPv6: true}}
)

func unwrapped(f *Facts) { u := f.wanted(ipip); f.Unwrap = &u }

func find(list []Requirement, name string) Requirement {
	i := slices.IndexFunc(list, func(r Requirement) bool { return r.Name == name })
	if i < 0 {
		return Requirement{}
	}
	return list[i]
}

func TestAGoodHost(t *testing.T) {
	f := good()
	for _, r := range Check(gate, f) {
		if r.State != OK {
			t.Errorf("%+v", r)
		}
	}
	if r := find(Check(ipip, f), "unwrapping"); r.State != Wrong {
		t.Errorf("nobody unwraps: %+v", r)
	}
	unwrapped(&f)
	for _, r := range Check(ipip, f) {
		if r.State != OK {
			t.Errorf("%+v", r)
		}
	}
}

// Every trouble has a line that names it, says how to end it, and does so by
// itself or leaves it to a person.
func TestTroubles(t *testing.T) {
	set := func(key, value string) func(*Facts) { return func(f *Facts) { f.Settings[key] = value } }
	for name, c := range map[string]struct {
		wish    Wish
		trouble func(*Facts)
		line    string
		state   State
		says    string // in what was found or in the fix
		change  string // "": for a person
	}{
		"arp_ignore": {gate, set(conf4("all", "arp_ignore"), "0"), "arp_ignore", Wrong, "answered by eth0", "setting net/ipv4/conf/all/arp_ignore"},
		"arp_ignore by link": {gate, func(f *Facts) {
			f.Settings[conf4("all", "arp_ignore")], f.Settings[conf4("eth0", "arp_ignore")] = "0", "1"
		}, "arp_ignore", OK, "", ""},
		"arp_ignore reserved":    {gate, set(conf4("eth0", "arp_ignore"), "4"), "arp_ignore", Wrong, "by hand", ""},
		"arp_ignore host scope":  {gate, set(conf4("eth0", "arp_ignore"), "3"), "arp_ignore", OK, "", ""},
		"arp_ignore wider scope": {gate, func(f *Facts) { f.Settings[conf4("eth0", "arp_ignore")] = "3"; f.Addresses[1].Host = false }, "arp_ignore", Wrong, "by hand", ""},
		"arp_announce":           {gate, set(conf4("all", "arp_announce"), "1"), "arp_announce", Wrong, "eth0", "setting net/ipv4/conf/all/arp_announce"},
		"rp_filter, one way":     {gate, set(conf4("all", "rp_filter"), "1"), "rp_filter of eth0", OK, "same interface", ""},
		"rp_filter, other way":   {gate, func(f *Facts) { f.Settings[conf4("eth0", "rp_filter")] = "1"; f.Defaults[0].Link = "eth1" }, "rp_filter of eth0", Wrong, "elsewhere", "setting net/ipv4/conf/eth0/rp_filter"},
		"rp_filter, no way":      {gate, func(f *Facts) { f.Settings[conf4("eth0", "rp_filter")] = "1"; f.Defaults = nil }, "rp_filter of eth0", Wrong, "", "setting net/ipv4/conf/eth0/rp_filter"},
		"rp_filter, tunnel": {ipip, func(f *Facts) {
			f.Links = append(f.Links, tunl0)
			f.Settings[conf4("tunl0", "rp_filter")] = "1"
		}, "rp_filter of tunl0", Wrong, "strict", "setting net/ipv4/conf/tunl0/rp_filter"},
		"rp_filter, loose": {ipip, func(f *Facts) { f.Links = append(f.Links, tunl0); f.Settings[conf4("tunl0", "rp_filter")] = "2" }, "rp_filter of tunl0", Wrong, "rp_filter=0", "setting net/ipv4/conf/tunl0/rp_filter"},
		"rp_filter, all":   {ipip, func(f *Facts) { f.Links = append(f.Links, tunl0); f.Settings[conf4("all", "rp_filter")] = "2" }, "rp_filter of tunl0", Wrong, "ip address add", ""},
		"rp_filter, address": {ipip, func(f *Facts) {
			f.Links = append(f.Links, tunl0)
			f.Settings[conf4("all", "rp_filter")] = "2"
			f.Addresses = append(f.Addresses, Address{"tunl0", netip.MustParsePrefix("10.0.0.11/32"), false})
		}, "rp_filter of tunl0", OK, "", "setting net/ipv4/conf/tunl0/rp_filter"},
		"no IPv6 on lo":   {gate, set(conf6("lo", "disable_ipv6"), "1"), "IPv6 on lo", Wrong, "", "setting net/ipv6/conf/lo/disable_ipv6"},
		"no IPv6 on eth0": {gate, set(conf6("eth0", "disable_ipv6"), "1"), "IPv6 on eth0", Look, "cannot arrive", ""},
		"no address":      {gate, func(f *Facts) { f.Addresses = slices.Delete(f.Addresses, 1, 2) }, "address 192.0.2.1", Wrong, "missing", "address 192.0.2.1/32 on lo"},
		"no address, forwarding": {gate, func(f *Facts) {
			f.Addresses = slices.Delete(f.Addresses, 1, 2)
			f.Settings["net/ipv4/ip_forward"] = "1"
		}, "address 192.0.2.1", Wrong, "round and round", "address 192.0.2.1/32 on lo"},
		"no IPv6 address": {gate, func(f *Facts) { f.Addresses = slices.Delete(f.Addresses, 2, 3) }, "address 2001:db8::1", Wrong, "preferred_lft 0", "address 2001:db8::1/128 on lo"},
		"address outside": {gate, func(f *Facts) { f.Addresses[1].Link = "eth0" }, "address 192.0.2.1", Wrong, "ip address del 192.0.2.1/32 dev eth0", ""},
		"address inside and out": {gate, func(f *Facts) {
			f.Addresses = append(f.Addresses, Address{"eth0", netip.MustParsePrefix("192.0.2.1/24"), false})
		}, "address 192.0.2.1", Wrong, "192.0.2.1/24 dev eth0", ""},
		"short prefix": {gate, func(f *Facts) { f.Addresses[1].Prefix = netip.MustParsePrefix("192.0.2.1/24") }, "address 192.0.2.1", Wrong, "192.0.2.0/24", ""},
		"address on a dummy": {gate, func(f *Facts) {
			f.Links = append(f.Links, Link{Index: 7, Name: "d0", Kind: "dummy", Up: true})
			f.Addresses[1].Link = "d0"
		}, "address 192.0.2.1", OK, "d0", ""},
		"lo is down":          {gate, func(f *Facts) { f.Links[0].Up = false }, "interface lo", Wrong, "ip link set lo up", ""},
		"no interface":        {gate, func(f *Facts) { f.Links[1].Up = false }, "interface", Wrong, "no Ethernet", ""},
		"no default route":    {gate, func(f *Facts) { f.Defaults = f.Defaults[:1] }, "default route, IPv6", Look, "none", ""},
		"nobody listens":      {gate, func(f *Facts) { f.Listeners[0].Addr = netip.MustParseAddrPort("10.0.0.11:80") }, "listeners on 192.0.2.1", Look, "no program", ""},
		"IPv6 only":           {gate, func(f *Facts) { f.Listeners[0].Both = false }, "listeners on 192.0.2.1", Look, "no program", ""},
		"firewall policy":     {gate, func(f *Facts) { f.Chains = []Chain{{"inet", "filter", "input", true, 0}} }, "firewall", Look, "inet filter input (policy drop)", ""},
		"firewall rules":      {gate, func(f *Facts) { f.Chains = []Chain{{"ip", "filter", "INPUT", false, 2}} }, "firewall", Look, "2 rules", ""},
		"lost by rp_filter":   {gate, func(f *Facts) { f.Lost.ReversePath = 7 }, "lost: rp_filter", Look, "7 packets", ""},
		"lost tunnel packets": {ipip, func(f *Facts) { f.Lost.UnknownProtocol = 7 }, "lost: unknown protocol", Look, "7 packets", ""},
		"one answers":         {gate, func(f *Facts) { f.Answers = []Answer{{vip4, "eth0", "a"}, {vip4, "eth1", "a"}} }, "who answers for 192.0.2.1", OK, "a, which", ""},
		"two answer":          {gate, func(f *Facts) { f.Answers = []Answer{{vip4, "eth0", "b"}, {vip4, "eth0", "a"}} }, "who answers for 192.0.2.1", Wrong, "a and b", ""},
		"no own address":      {ipip, func(f *Facts) { f.Addresses = f.Addresses[:3] }, "unwrapping", Wrong, "no address of its own", ""},
		"the kernel, in part": {ipip, func(f *Facts) { f.Links = append(f.Links, tunl0) }, "unwrapping", Wrong, "tunl0 takes only a part", "unwrapping program"},
		"the kernel, whole": {ipip, func(f *Facts) {
			f.Links = append(f.Links, tunl0, sit0)
		}, "unwrapping", OK, "by the kernel: tunl0, sit0", ""},
		"both": {ipip, func(f *Facts) {
			unwrapped(f)
			f.Links = append(f.Links, tunl0)
		}, "unwrapping", OK, "gets what it leaves", "unwrapping program"},
		"another address": {ipip, func(f *Facts) { unwrapped(f); f.Addresses[3].Prefix = netip.MustParsePrefix("10.0.0.12/24") }, "unwrapping", Wrong, "10.0.0.11", "unwrapping program"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			c.trouble(&f)
			r := find(Check(c.wish, f), c.line)
			if r.State != c.state || !strings.Contains(r.Found+" "+r.Fix, c.says) {
				t.Errorf("%+v", r)
			}
			if r.State != OK && r.Fix == "" && r.State != Look {
				t.Error("no way out is said")
			}
			switch {
			case c.state == OK && c.change == "":
			case c.change == "" && r.Change != nil:
				t.Errorf("weir would do %s", r.Change)
			case c.change != "" && (r.Change == nil || r.Change.Place() != c.change):
				t.Errorf("the change is %v", r.Change)
			}
		})
	}
}

// The address comes last: a host that had it first would answer for it.
func TestTheAddressComesLast(t *testing.T) {
	f := good()
	f.Addresses = f.Addresses[3:]
	f.Settings[conf4("all", "arp_ignore")] = "0"
	todo := Todo(Check(ipip, f))
	var places []string
	for _, c := range todo {
		places = append(places, c.Place())
	}
	want := []string{"setting net/ipv4/conf/all/arp_ignore", "unwrapping program", "address 192.0.2.1/32 on lo", "address 2001:db8::1/128 on lo"}
	if !slices.Equal(places, want) {
		t.Errorf("order %q, want %q", places, want)
	}
	if stale, kept := Stale(Check(gate, f), todo); len(kept) != 3 || len(stale) != 1 || stale[0].Unwrap == nil {
		t.Errorf("without the tunnel, stale %v, kept %v", stale, kept)
	}
}

func TestWishes(t *testing.T) {
	if err := ipip.Check(); err != nil {
		t.Error(err)
	}
	for want, w := range map[string]Wish{
		"no virtual address":    {Methods: []Method{Gate}},
		"no method":             {VIPs: []netip.Addr{vip4}},
		"masq needs nothing":    {VIPs: []netip.Addr{vip4}, Methods: []Method{"masq"}},
		"only gue has a port":   {VIPs: []netip.Addr{vip4}, Methods: []Method{IPIP}, Port: 6080},
		"look at the sender":    {VIPs: []netip.Addr{vip4}, Methods: []Method{Gate}, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}},
		"named twice":           {VIPs: []netip.Addr{vip4, vip4}, Methods: []Method{Gate}},
		"clients can reach":     {VIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Methods: []Method{Gate}},
		"fe80::1%eth0: not an":  {VIPs: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}, Methods: []Method{Gate}},
		"224.0.0.1: not an":     {VIPs: []netip.Addr{netip.MustParseAddr("224.0.0.1")}, Methods: []Method{Gate}},
		"::ffff:1.2.3.4: not a": {VIPs: []netip.Addr{netip.MustParseAddr("::ffff:1.2.3.4")}, Methods: []Method{Gate}},
	} {
		if err := w.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
	w := Wish{VIPs: []netip.Addr{vip4}, Methods: []Method{GUE}, Port: 7, Interfaces: []string{"eth0"}, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	if got := w.String(); got != "--vip 192.0.2.1 --method gue --port 7 --interface eth0 --from 10.0.0.0/8" {
		t.Error(got)
	}
}
