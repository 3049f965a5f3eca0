package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/weir-lb/weir/internal/lvs"
)

// marks reads one entry of the classifier: a rule for each pair of its ranges
// of ports.
func (r *reader) marks(f fields) (out []lvs.Rule) {
	var rule lvs.Rule
	var protocol string
	readNumber(f, "mark", &rule.Mark)
	readWord(f, "protocol", &protocol)
	rule.Protocol, _ = lvs.ParseProtocol(protocol) // the tables allow no other word
	rule.From, rule.To = r.network(f, "from"), r.network(f, "to")
	if rule.From.IsValid() && rule.To.IsValid() && rule.From.Addr().Is4() != rule.To.Addr().Is4() {
		r.errorf(f.at, "mark: from %s and to %s are of different address families", rule.From, rule.To)
	}
	f.text("interface", &rule.Interface)
	if rule.Interface != "" {
		if why := interfaceFault(rule.Interface, nil); why != "" {
			r.errorf(f.node["interface"], "interface: %s", why)
		}
	}
	for _, from := range r.ports(f, "source_ports") {
		for _, to := range r.ports(f, "ports") {
			rule.SourcePorts, rule.Ports = from, to
			out = append(out, rule)
		}
	}
	return out
}

// network reads an address or a network; none is the zero prefix.
func (r *reader) network(f fields, name string) netip.Prefix {
	var text string
	if !f.text(name, &text) {
		return netip.Prefix{}
	}
	if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Zone() == "" && !p.Addr().Is4In6() {
		return p.Masked()
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		r.errorf(f.node[name], "%s: %q is neither an address nor a network; write 192.0.2.1 or 192.0.2.0/24", name, text)
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
}

// ports reads a list of ports and ranges; none is every port.
func (r *reader) ports(f fields, name string) []lvs.PortRange {
	var out []lvs.PortRange
	for _, n := range f.scalars(name) {
		p, err := parsePorts(n.Value)
		if err != nil {
			r.errorf(n, "%s: %v", name, err)
			continue
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		out = []lvs.PortRange{{}}
	}
	return out
}

func parsePorts(text string) (lvs.PortRange, error) {
	first, last, ranged := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(first, 10, 16)
	b := a
	var errB error
	if ranged {
		b, errB = strconv.ParseUint(last, 10, 16)
	}
	if errA != nil || errB != nil || a == 0 || b < a {
		return lvs.PortRange{}, fmt.Errorf("%q is no port or range of ports from 1 to 65535; write 80 or 1024-65535", text)
	}
	return lvs.PortRange{First: uint16(a), Last: uint16(b)}, nil
}

// scalars are the values of a list, numbers or texts.
func (f fields) scalars(name string) []*yaml.Node {
	n, k, ok := f.get(name)
	if !ok || isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		f.wrong(n, k, "a list")
		return nil
	}
	var out []*yaml.Node
	for _, item := range n.Content {
		if item = f.r.resolve(item); f.r.exhausted() {
			return nil
		}
		if item.Kind != yaml.ScalarNode {
			f.wrong(item, k, "a port in the list")
			continue
		}
		out = append(out, item)
	}
	return out
}

// markNode is a rule as an entry of its own.
func markNode(rule lvs.Rule) *mapping {
	m := &mapping{}
	m.word("mark", strconv.FormatUint(uint64(rule.Mark), 10))
	if rule.Protocol != 0 {
		m.word("protocol", strings.ToLower(rule.Protocol.String()))
	}
	for _, n := range []struct {
		name string
		net  netip.Prefix
	}{{"from", rule.From}, {"to", rule.To}} {
		if n.net.IsSingleIP() {
			m.text(n.name, n.net.Addr().String())
		} else if n.net.IsValid() {
			m.text(n.name, n.net.String())
		}
	}
	if rule.Ports != (lvs.PortRange{}) {
		m.texts("ports", []string{rule.Ports.String()})
	}
	if rule.SourcePorts != (lvs.PortRange{}) {
		m.texts("source_ports", []string{rule.SourcePorts.String()})
	}
	if rule.Interface != "" {
		m.text("interface", rule.Interface)
	}
	return m
}
