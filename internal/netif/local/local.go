// Package local reads how this host itself is: its interfaces, addresses and
// settings, who listens, what a firewall might drop, what was lost. And it
// changes the two things a real server needs changed: settings under /proc/sys
// and addresses.
//
// It looks at the network of the calling thread. It never decides what to
// change, and does not remember what it changed.
package local

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/realserver"
)

// quiet are kinds of interfaces that look like Ethernet but where nothing
// arrives from outside.
var quiet = []string{"dummy", "ifb", "nlmon", "vrf"}

// Links are all interfaces.
func Links() ([]realserver.Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var list []realserver.Link
	for _, l := range all {
		a := l.Attrs()
		n := realserver.Link{Index: a.Index, Name: a.Name, Kind: l.Type(), Up: a.Flags&net.FlagUp != 0, Loopback: a.Flags&net.FlagLoopback != 0}
		if n.Kind == "device" {
			n.Kind = ""
		}
		n.Ethernet = a.EncapType == "ether" && !slices.Contains(quiet, n.Kind)
		n.Port = a.MasterIndex != 0 && !isVRF(all, a.MasterIndex)
		n.Inner = inner(l)
		list = append(list, n)
	}
	return list, nil
}

// inner tells what a tunnel device is told to find in its packets. The devices
// that come with a module are told more narrowly than one would think: ip6tnl0
// takes IPv6 alone.
func inner(l netlink.Link) realserver.Inner {
	proto := -1
	switch t := l.(type) {
	case *netlink.Iptun:
		proto = int(t.Proto)
	case *netlink.Sittun:
		proto = int(t.Proto)
	case *netlink.Ip6tnl:
		proto = int(t.Proto)
	case *netlink.Gretun:
		proto = 0
	}
	return realserver.Inner{IPv4: proto == 0 || proto == unix.IPPROTO_IPIP, IPv6: proto == 0 || proto == unix.IPPROTO_IPV6}
}

// isVRF: a VRF takes no packets, it only routes for its members.
func isVRF(all []netlink.Link, index int) bool {
	return slices.ContainsFunc(all, func(l netlink.Link) bool { return l.Attrs().Index == index && l.Type() == "vrf" })
}

// Addresses are all of both families.
func Addresses(links []realserver.Link) ([]realserver.Address, error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var list []realserver.Address
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		i := slices.IndexFunc(links, func(l realserver.Link) bool { return l.Index == a.LinkIndex })
		if !ok || i < 0 {
			continue
		}
		list = append(list, realserver.Address{Link: links[i].Name, Prefix: netip.PrefixFrom(ip.Unmap(), bits), Host: a.Scope == unix.RT_SCOPE_HOST})
	}
	return list, nil
}

// Defaults are the default routes.
func Defaults(links []realserver.Link) ([]realserver.Default, error) {
	var list []realserver.Default
	for _, v6 := range []bool{false, true} {
		family := map[bool]int{false: netlink.FAMILY_V4, true: netlink.FAMILY_V6}[v6]
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Dst: nil, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			ways := []int{r.LinkIndex}
			for _, p := range r.MultiPath {
				ways = append(ways, p.LinkIndex)
			}
			for _, l := range links {
				if slices.Contains(ways, l.Index) && !l.Loopback {
					list = append(list, realserver.Default{V6: v6, Link: l.Name})
				}
			}
		}
	}
	return list, nil
}

const sysctls = "/proc/sys"

// Settings reads values under /proc/sys; one that is not there is left out.
func Settings(keys []string) (map[string]string, error) {
	values := map[string]string{}
	for _, key := range keys {
		text, err := os.ReadFile(filepath.Join(sysctls, key))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		values[key] = strings.TrimSpace(string(text))
	}
	return values, nil
}

// Set writes a value under /proc/sys.
func Set(key, value string) error {
	if err := os.WriteFile(filepath.Join(sysctls, key), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %s: %w", key, value, err)
	}
	return nil
}

// AddAddress puts an address on an interface, usable at once. One that is
// there is no error. Nobody is told of it, and no connection begins with it:
// IPv4 of scope host, IPv6 without duplicate detection and not preferred.
func AddAddress(s realserver.Standing) error {
	l, a, err := addressOf(s)
	if err != nil {
		return err
	}
	if s.Prefix.Addr().Is6() {
		// Valid for ever, preferred never: any other valid time than zero
		// makes the library send both.
		a.Flags, a.ValidLft, a.PreferedLft = unix.IFA_F_NODAD, forever, 0
	} else {
		a.Scope = unix.RT_SCOPE_HOST
	}
	if err := netlink.AddrAdd(l, a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s: %w", s, err)
	}
	return nil
}

// forever is a lifetime that does not end; where an int is too small for it, one
// that nobody lives to see.
const forever = math.MaxUint32 & math.MaxInt

// RemoveAddress takes an address off; one that is not there is no error.
func RemoveAddress(s realserver.Standing) error {
	l, a, err := addressOf(s)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(l, a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s: %w", s, err)
	}
	return nil
}

func addressOf(s realserver.Standing) (netlink.Link, *netlink.Addr, error) {
	l, err := netlink.LinkByName(s.Link)
	if err != nil {
		return nil, nil, fmt.Errorf("interface %s: %w", s.Link, err)
	}
	a := s.Prefix.Addr()
	return l, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(s.Prefix.Bits(), a.BitLen())}}, nil
}
