package conformance

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// A body is a data plane under observation.
type body interface {
	name() string
	enter(r *rig) error // make r's director a director
	begin() error       // the rig is in another place
	command(lines []string) error
	moved() error // the network changed
	sysctl(name string, value int) error
	mark(lvs.Rule) error // packets get a mark from now on
	connections() ([]Connection, error)
	destinations() ([]string, error)
	counters() ([]string, error)
	clear() error // empty the table
	leave() error
}

// ipvs is the kernel's own, driven by the real ipvsadm.
type ipvs struct {
	r      *rig
	set    map[string]string // settings that were changed, and what they were
	marked bool
}

func (v *ipvs) name() string       { return "ip_vs" }
func (v *ipvs) enter(r *rig) error { v.r = r; return nil }
func (v *ipvs) moved() error       { return nil }
func (v *ipvs) begin() error       { return nil }

// clear also takes back what was set beside the table.
func (v *ipvs) clear() error {
	var errs []error
	for name, value := range v.set {
		errs = append(errs, v.r.director.Sysctl("net/ipv4/vs/"+name, value))
	}
	v.set = nil
	if v.marked {
		errs = append(errs, v.r.tc("qdisc", "del", "dev", "to-client", "clsact"))
		v.marked = false
	}
	return errors.Join(append(errs, v.command([]string{"-C", "--set 900 120 300"}))...)
}

func (v *ipvs) sysctl(name string, value int) error {
	before, err := v.readSetting(name)
	if err != nil {
		return err
	}
	if v.set == nil {
		v.set = make(map[string]string)
	}
	if _, had := v.set[name]; !had {
		v.set[name] = strings.TrimSpace(before)
	}
	return v.r.director.Sysctl("net/ipv4/vs/"+name, strconv.Itoa(value))
}

func (v *ipvs) readSetting(name string) (text string, err error) {
	err = v.r.director.Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv4/vs/" + name)
		text = string(b)
		return err
	})
	return text, err
}

// mark lets tc mark packets before ip_vs sees them.
func (v *ipvs) mark(rule lvs.Rule) error {
	if !v.marked {
		if err := v.r.tc("qdisc", "add", "dev", "to-client", "clsact"); err != nil {
			return err
		}
		v.marked = true
	}
	if err := v.r.tc(v.r.skbedit(rule)...); err != nil || v.r.place.serves(rule.To.Addr()) {
		return err
	}
	// ip_vs only sees what is delivered here.
	return v.r.deliver(rule.Mark)
}

func (v *ipvs) leave() error { return nil }

func (v *ipvs) command(lines []string) error {
	_, err := v.r.ipvsadm(strings.Join(lines, "\n")+"\n", "-R")
	return err
}

func (v *ipvs) read(name string) (text string, err error) {
	err = v.r.director.Do(func() error {
		f, err := os.Open("/proc/thread-self/net/" + name)
		if err != nil {
			return err
		}
		defer f.Close()
		// In large pieces: where Linux 6.1 goes on after a piece it counts the
		// services of other namespaces, too, and may leave out one of ours.
		b, err := io.ReadAll(bufio.NewReaderSize(f, 64<<10))
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
		if !v.r.place.serves(v.address(f[3])) {
			continue // left by an earlier scenario
		}
		left, err := strconv.Atoi(f[8])
		if err != nil {
			return nil, fmt.Errorf("ip_vs_conn: %q", line)
		}
		out = append(out, Connection{Left: left, What: fmt.Sprintf("%s %s %s %s %s", f[0],
			v.pair(f[1], f[2]), v.pair(f[3], f[4]), v.pair(f[5], f[6]), f[7]) + call(f)})
	}
	slices.SortFunc(out, func(a, b Connection) int { return strings.Compare(a.What, b.What) })
	return out, nil
}

// call is the Call-ID behind a template of the SIP engine.
func call(f []string) string {
	if len(f) < 11 {
		return ""
	}
	return " " + f[10]
}

// pair names an address and a port in hexadecimal.
func (v *ipvs) pair(addr, port string) string {
	n, err := strconv.ParseUint(port, 16, 16)
	if a := v.address(addr); err == nil && a.IsValid() {
		return v.r.place.nameport(netip.AddrPortFrom(a, uint16(n)))
	}
	return addr + ":" + port
}

func (v *ipvs) address(s string) netip.Addr {
	if b, err := hex.DecodeString(s); err == nil && len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	a, _ := netip.ParseAddr(s) // not valid, then
	return a
}

// destinations reads /proc/net/ip_vs: "TCP  AC140164:0050 rr" and
// "  -> 0A010109:0050      Masq    1      0          0".
func (v *ipvs) destinations() ([]string, error) {
	text, err := v.read("ip_vs")
	if err != nil {
		return nil, err
	}
	return listing(text, 6, v.hexPair, v.markOf(16), func(f []string) string {
		return fmt.Sprintf("%s %s weight=%s active=%s inactive=%s", f[1], f[2], f[3], f[4], f[5])
	}), nil
}

// hexPair names "AC140164:0050" and "[fd00:…]:0050".
func (v *ipvs) hexPair(s string) string {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s
	}
	return v.pair(strings.Trim(s[:i], "[]"), s[i+1:])
}

func (v *ipvs) counters() ([]string, error) {
	text, err := v.r.ipvsadm("", "-Ln", "--nosort", "--stats", "--exact")
	if err != nil {
		return nil, err
	}
	return listing(text, 7, v.r.place.named, v.markOf(10), func(f []string) string {
		return fmt.Sprintf("%s conns=%s in=%s/%s out=%s/%s", f[1], f[2], f[3], f[5], f[4], f[6])
	}), nil
}

// listing writes the destinations of the kernel's listing down, each with its
// service before it; services sorted.
func listing(text string, fields int, named, mark func(string) string, show func([]string) string) (out []string) {
	services := make(map[string][]string)
	var order []string
	service := ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && f[0] == "FWM":
			service = "FWM " + mark(f[1])
			order = append(order, service)
		case len(f) >= 2 && (f[0] == "TCP" || f[0] == "UDP" || f[0] == "SCTP"):
			service = f[0] + " " + named(f[1])
			order = append(order, service)
		case len(f) >= fields && f[0] == "->" && f[1] != "RemoteAddress:Port":
			f[1] = named(f[1])
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

// markOf names a mark that is written in some base.
func (v *ipvs) markOf(base int) func(string) string {
	return func(s string) string {
		n, err := strconv.ParseUint(s, base, 32)
		if err != nil {
			return s
		}
		return v.r.place.markText(uint32(n))
	}
}

func (p Place) named(s string) string {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return s
	}
	return p.nameport(a)
}
