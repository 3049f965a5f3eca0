package config_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

func drawRouter(t *rapid.T, i int) config.Router {
	six := rapid.Bool().Draw(t, "six")
	held := func(low byte) lvs.HeldAddress {
		a := drawAddr(t, six, byte(100*i)+low)
		return lvs.HeldAddress{Prefix: netip.PrefixFrom(a, rapid.IntRange(1, a.BitLen()).Draw(t, "bits")), Interface: rapid.SampledFrom([]string{"", "eth1"}).Draw(t, "dev")}
	}
	r := config.Router{Router: lvs.Router{Name: fmt.Sprintf("%d: #", i)[:1], Interface: rapid.SampledFrom([]string{"eth0", "7"}).Draw(t, "interface"), ID: uint8(i + 1), Version: 3,
		Priority: rapid.Uint8Range(1, 255).Draw(t, "priority"), Preempt: rapid.Bool().Draw(t, "preempt"), Delay: drawTime(t, time.Second),
		Group: rapid.SampledFrom([]string{"", "both"}).Draw(t, "group"), Announce: lvs.Announcement{Repeat: 3, Refresh: drawTime(t, time.Second)}}}
	r.Interval = 10 * time.Millisecond * time.Duration(rapid.IntRange(1, 4095).Draw(t, "interval"))
	r.Addresses = []lvs.HeldAddress{held(1), held(2)}
	if !six && rapid.Bool().Draw(t, "two") {
		r.Version, r.Password, r.Interval = 2, rapid.SampledFrom([]string{"", "1234", "a b: #"}).Draw(t, "password"), time.Second
	}
	if rapid.Bool().Draw(t, "peers") {
		r.Source, r.Peers = drawAddr(t, six, 9), []netip.Addr{drawAddr(t, six, 10)}
	}
	if rapid.Bool().Draw(t, "also") {
		r.Also = []lvs.HeldAddress{{Prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:77::%d/64", i+1))}}
	}
	return r
}

func TestRoutersRefused(t *testing.T) {
	const good = "{name: a, interface: eth0, id: 7, addresses: [192.0.2.1/24]}"
	for with, want := range map[string]string{
		"[" + good + ", {name: b, interface: eth0, id: 7, addresses: [192.0.2.2/24]}]":                  "f:1: router b has id 7 on eth0, as in line 1",
		"[" + good + ", {name: a, interface: eth0, id: 8, addresses: [192.0.2.2/24]}]":                  "router a is there already",
		"[" + good + ", {name: b, interface: eth1, id: 7, addresses: [192.0.2.1]}]":                     "router b holds 192.0.2.1, as in line 1",
		"[{name: a b, interface: eth0, id: 7, addresses: [192.0.2.1/24]}]":                              `"a b" cannot be a name`,
		"[{name: a, interface: a/b, id: 7, addresses: [192.0.2.1/24]}]":                                 `"a/b" cannot be the name of an interface`,
		"[{name: a, interface: eth0, id: 7, addresses: []}]":                                            "from 1 to 255 addresses",
		"[{name: a, interface: eth0, id: 7, addresses: [192.0.2.1/24 eth1]}]":                           "192.0.2.1/24 dev eth1",
		"[{name: a, interface: eth0, id: 7, addresses: [192.0.2.1/33]}]":                                "is no address",
		"[{name: a, interface: eth0, id: 7, addresses: [192.0.2.1, \"2001:db8::1\"]}]":                  "put it under also",
		"[{name: a, interface: eth0, id: 7, addresses: [224.0.0.1]}]":                                   "cannot hold 224.0.0.1",
		"[{name: a, interface: eth0, id: 7, version: 2, interval: 100ms, addresses: [192.0.2.1]}]":      "version 2 has whole seconds",
		"[{name: a, interface: eth0, id: 7, interval: 41s, addresses: [192.0.2.1]}]":                    "10ms to 40.95s",
		"[{name: a, interface: eth0, id: 7, password: x, addresses: [192.0.2.1]}]":                      "version 3 has no passwords",
		"[{name: a, interface: eth0, id: 7, version: 2, password: 123456789x, addresses: [192.0.2.1]}]": "version 2 has room for 8",
		"[{name: a, interface: eth0, id: 7, version: 2, addresses: [\"2001:db8::1\"]}]":                 "IPv6 has version 3",
		"[{name: a, interface: eth0, id: 7, peers: [\"2001:db8::1\"], addresses: [192.0.2.1]}]":         "of another address family",
		"[{name: a, interface: eth0, id: 7, peers: [peer], addresses: [192.0.2.1]}]":                    `"peer" is no address`,
		"[{name: a, interface: eth0, id: 256, addresses: [192.0.2.1]}]":                                 "from 1 to 255",
		"[{name: a, interface: eth0, addresses: [192.0.2.1]}]":                                          "id is missing",
	} {
		_, problems := config.Parse("f", []byte("routers: "+with+"\n"))
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nsays %v\nwant %s", with, err, want)
		}
	}
	if _, problems := config.Parse("f", []byte("routers: ["+good+"]\n")); len(problems) != 0 {
		t.Errorf("%v", problems)
	}
}
