package conformance

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A body is a data plane under observation.
type body interface {
	name() string
	enter(r *rig) error // make r's director a director
	command(words []string) error
	moved() error // the network changed
	connections() ([]Connection, error)
	destinations() ([]string, error)
	counters() ([]string, error)
	leave() error
}

// ipvs is the kernel's own, driven by the real ipvsadm.
type ipvs struct{ r *rig }

func (v *ipvs) name() string       { return "ip_vs" }
func (v *ipvs) enter(r *rig) error { v.r = r; return nil }
func (v *ipvs) moved() error       { return nil }
func (v *ipvs) leave() error       { return nil }

func (v *ipvs) command(words []string) error {
	_, err := v.r.ipvsadm(words...)
	return err
}

func (v *ipvs) read(name string) (text string, err error) {
	err = v.r.director.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/" + name)
		text = string(b)
		return err
	})
	return text, err
}

// connections reads /proc/net/ip_vs_conn:
// "TCP 0A14010A 0401 AC140164 0050 0A010109 0050 SYN_RECV         60".
func (v *ipvs) connections() (out []Connection, err error) {
	text, err := v.read("ip_vs_conn")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] == "Pro" {
			continue
		}
		left, err := strconv.Atoi(f[8])
		if err != nil {
			return nil, fmt.Errorf("ip_vs_conn: %q", line)
		}
		out = append(out, Connection{Left: left, What: fmt.Sprintf("%s %s %s %s %s", f[0],
			v.pair(f[1], f[2]), v.pair(f[3], f[4]), v.pair(f[5], f[6]), f[7])})
	}
	slices.SortFunc(out, func(a, b Connection) int { return strings.Compare(a.What, b.What) })
	return out, nil
}

// pair names an address and a port in hexadecimal.
func (v *ipvs) pair(addr, port string) string {
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return addr + ":" + port
	}
	a, err := netip.ParseAddr(addr)
	if b, bad := hex.DecodeString(addr); bad == nil && len(b) == 4 {
		a, err = netip.AddrFrom4([4]byte(b)), nil
	}
	if err != nil {
		return addr + ":" + port
	}
	return v.r.place.nameport(netip.AddrPortFrom(a, uint16(n)))
}

// destinations reads the table with the counts of connections.
func (v *ipvs) destinations() ([]string, error) {
	text, err := v.r.ipvsadm("-Ln")
	if err != nil {
		return nil, err
	}
	return v.r.place.listing(text, 6, func(f []string) string {
		return fmt.Sprintf("%s %s weight=%s active=%s inactive=%s", f[1], f[2], f[3], f[4], f[5])
	}), nil
}

func (v *ipvs) counters() ([]string, error) {
	text, err := v.r.ipvsadm("-Ln", "--stats", "--exact")
	if err != nil {
		return nil, err
	}
	return v.r.place.listing(text, 7, func(f []string) string {
		return fmt.Sprintf("%s conns=%s in=%s/%s out=%s/%s", f[1], f[2], f[3], f[5], f[4], f[6])
	}), nil
}

// listing writes the destinations of an ipvsadm listing down, each with its
// service before it; services sorted.
func (p Place) listing(text string, fields int, show func([]string) string) (out []string) {
	services := make(map[string][]string)
	var order []string
	service := ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && (f[0] == "TCP" || f[0] == "UDP" || f[0] == "SCTP"):
			service = f[0] + " " + p.named(f[1])
			order = append(order, service)
		case len(f) >= fields && f[0] == "->" && f[1] != "RemoteAddress:Port":
			f[1] = p.named(f[1])
			services[service] = append(services[service], show(f))
		}
	}
	slices.Sort(order)
	for _, s := range order {
		out = append(out, "service "+s)
		for _, d := range services[s] {
			out = append(out, "  "+d)
		}
	}
	return out
}

func (p Place) named(s string) string {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return s
	}
	return p.nameport(a)
}
