package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// Mark is a scenario's mark as a number of its own place.
func (p Place) Mark(n int) uint32 { return uint32(p.Number)<<8 | uint32(n) }

// markName names an address that stands for a mark of this place.
func (p Place) markName(a netip.Addr) (string, bool) {
	b := a.AsSlice()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	for _, x := range b[4:] {
		if x != 0 {
			return "", false
		}
	}
	if n>>8 != uint32(p.Number) {
		return "", false
	}
	return p.markText(n), true
}

func (p Place) markText(n uint32) string { return fmt.Sprintf("mark%d", n&0xff) }

// mark reads "7 tcp vip:80": what is for this address and port gets the mark.
func (p Place) mark(words []string) (*lvs.Rule, error) {
	if len(words) < 2 {
		return nil, fmt.Errorf("a mark is written: mark 7 tcp vip:80, or mark 7 vip")
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < 1 || n > 255 {
		return nil, fmt.Errorf("%q is no mark from 1 to 255", words[0])
	}
	r := &lvs.Rule{Mark: p.Mark(n)}
	if len(words) == 3 {
		if r.Protocol, err = lvs.ParseProtocol(words[1]); err != nil {
			return nil, err
		}
	}
	to, err := p.addrPort(words[len(words)-1])
	if err != nil {
		return nil, err
	}
	r.To = netip.PrefixFrom(to.Addr(), to.Addr().BitLen())
	if to.Port() != 0 {
		r.Ports = lvs.PortRange{First: to.Port(), Last: to.Port()}
	}
	return r, nil
}

func parseSysctl(text string) (string, int, error) {
	name, value, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(value)
	if err != nil {
		return "", 0, fmt.Errorf("a setting is written: sysctl expire_nodest_conn 1")
	}
	for _, s := range lvs.AllSysctls() {
		if s.Info().Name == name {
			return name, n, nil
		}
	}
	return "", 0, fmt.Errorf("weir has no setting %q", name)
}

// skbedit is the rule as tc(8) gives packets marks.
func (r *rig) skbedit(rule lvs.Rule) []string {
	family := "ip"
	if rule.To.Addr().Is6() {
		family = "ipv6"
	}
	args := []string{"filter", "add", "dev", "to-client", "ingress", "protocol", family, "flower"}
	if rule.Protocol != 0 {
		args = append(args, "ip_proto", strings.ToLower(rule.Protocol.String()))
	}
	args = append(args, "dst_ip", rule.To.Addr().String())
	if rule.Ports != (lvs.PortRange{}) {
		args = append(args, "dst_port", rule.Ports.String())
	}
	return append(args, "action", "skbedit", "mark", strconv.FormatUint(uint64(rule.Mark), 10))
}

// deliver has packets of a mark delivered to the director itself, whatever their
// address is. The mark is of this place alone: nobody takes the rule back.
func (r *rig) deliver(mark uint32) error {
	family := map[bool]string{false: "-4", true: "-6"}[r.place.V6]
	for _, line := range []string{
		fmt.Sprintf("rule add fwmark %d lookup 100", mark),
		"route replace local default dev lo table 100",
	} {
		args := append([]string{family}, strings.Fields(line)...)
		if out, err := r.director.Command(context.Background(), "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// tc runs tc(8) on the director.
func (r *rig) tc(args ...string) error {
	out, err := r.director.Command(context.Background(), "tc", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("tc %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
