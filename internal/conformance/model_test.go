package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

// modelled says why the model cannot tell what becomes of a scenario; empty: it
// can.
func modelled(s Scenario) string {
	if s.Differs != "" {
		return "weir differs on purpose"
	}
	for _, st := range s.Steps {
		if why := strange(s, st); why != "" {
			return why
		}
	}
	p := newProphet(s)
	if _, err := p.foretell(); err == nil && p.unsure != "" {
		return p.unsure
	}
	return ""
}

// strange is what the model does not know in a step.
func strange(s Scenario, st Step) string {
	switch {
	case st.Command != "":
		return strangeCommand(s.Place, st.Command)
	case st.Sysctl != "" && !slices.Contains(known, setting(st.Sysctl)):
		return "settings of net.ipv4.vs"
	case st.Link != "":
		return "the sizes of packets"
	}
	for _, pkt := range st.Packets {
		if why := strangePacket(s.Place, pkt); why != "" {
			return why
		}
	}
	return ""
}

// known are the settings the model knows.
var known = []lvs.Sysctl{lvs.ConnReuseMode, lvs.ExpireNodestConn, lvs.ExpireQuiescentTemplate, lvs.SloppyTCP}

// setting is the one of a name that was read.
func setting(name string) lvs.Sysctl {
	return lvs.Sysctl(slices.IndexFunc(lvs.AllSysctls(), func(s lvs.Sysctl) bool { return s.Info().Name == name }))
}

func strangeCommand(p Place, line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch {
		case w == "-s" && slices.Contains([]string{"lblc", "lblcr", "twos"}, value):
			return "schedulers that remember or draw lots"
		case w == "-s" && value == "mh":
			return "weights mh remembers"
		case w == "-r" && !strings.HasPrefix(p.named(value), "rs"):
			return "real servers that are the director, or of the other family"
		case w == "--pe":
			return "SIP"
		case w == "-t" && strings.HasSuffix(value, ":21"):
			return "FTP"
		}
	}
	return ""
}

func strangePacket(p Place, pkt Packet) string {
	switch {
	case pkt.Protocol == protoSCTP && len(pkt.Chunks) == 0:
		return "broken packets"
	case pkt.Protocol == protoICMP || pkt.Protocol == protoICMPv6:
		return "ICMP"
	case pkt.Protocol == protoESP || pkt.Signed:
		return "IPsec"
	case pkt.Tunnel != "":
		return "tunnels"
	case pkt.Fragment:
		return "fragments"
	case pkt.TTL < 2 && pkt.At == "client" && !p.serves(pkt.Dst.Addr()):
		return "hop counts of what is routed"
	case pkt.BadSum || pkt.BadHead || pkt.Cut != 0:
		return "broken packets"
	case pkt.Data > 1400:
		return "the sizes of packets"
	case pkt.At != "client" && !strings.HasPrefix(p.Name(pkt.Src.Addr()), "rs"):
		return "answers that are not rewritten"
	}
	return ""
}

// A prophet says what a scenario will show.
type prophet struct {
	s     Scenario
	m     *memory.Model
	table table
	now   time.Duration
	rules []lvs.Rule

	unsure string // what it cannot say after all
}

func newProphet(s Scenario) *prophet {
	return &prophet{s: s, m: memory.NewModel(), table: make(table)}
}

// foretell is what a data plane will show of a scenario, as far as the model
// goes: who gets each packet, the destinations and the connections.
func (p *prophet) foretell() ([][]string, error) {
	var all [][]string
	for _, st := range p.s.Steps {
		lines, err := p.step(st)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", st.Line, err)
		}
		all = append(all, lines)
	}
	return all, nil
}

func (p *prophet) step(st Step) (lines []string, err error) {
	switch {
	case st.Command != "":
		return nil, p.command(strings.Fields(st.Command))
	case st.Sysctl != "":
		return nil, p.tune(func(t *lvs.Tuning) { t.Sysctls[setting(st.Sysctl)] = st.Value })
	case st.Mark != nil:
		p.rules = append(p.rules, *st.Mark)
		return nil, p.tune(func(t *lvs.Tuning) { t.Rules = slices.Clone(p.rules) })
	case st.Wait > 0:
		p.now += st.Wait
	case st.Look:
		return append(p.destinations(), p.connections()...), nil
	}
	for _, pkt := range st.Packets {
		if line := p.packet(pkt); line != "" {
			lines = append(lines, line)
		}
		p.now += quiet
	}
	return lines, nil
}

func (p *prophet) tune(change func(*lvs.Tuning)) error {
	t := p.m.Tuning()
	change(&t)
	return p.m.Tune(context.Background(), t)
}

func (p *prophet) command(words []string) error {
	if words[0] == "--set" {
		return p.tune(func(t *lvs.Tuning) {
			for i, d := range []*time.Duration{&t.Timeouts.TCP, &t.Timeouts.TCPFin, &t.Timeouts.UDP} {
				if n, _ := strconv.Atoi(words[1+i]); n != 0 {
					*d = time.Duration(n) * time.Second
				}
			}
		})
	}
	changes, err := p.table.do(words)
	for _, c := range changes {
		if c.gone {
			err = p.m.Drop(context.Background(), c.service.Key)
		} else {
			err = p.m.Put(context.Background(), c.service)
		}
	}
	return err
}

// packet is who gets what comes of a packet: "rs1", "client".
func (p *prophet) packet(pkt Packet) string {
	fate, to := p.m.Carry(p.now, memory.Packet{Protocol: lvs.Protocol(pkt.Protocol), From: pkt.Src, To: pkt.Dst, Last: pkt.TTL <= 1,
		Chunks: pkt.Chunks, FIN: pkt.Flags&1 != 0, SYN: pkt.Flags&2 != 0, RST: pkt.Flags&4 != 0, ACK: pkt.Flags&16 != 0})
	switch fate {
	case memory.Sent:
		return p.s.Place.Name(to)
	case memory.Replied:
		if name := p.s.Place.Name(pkt.Dst.Addr()); !strings.HasPrefix(name, "client") {
			return name
		}
		return "client"
	case memory.Answered:
		return pkt.At + " is refused"
	case memory.Passed:
		return p.passed(pkt)
	}
	return ""
}

// passed is what the director's own stack says to a packet, or where it routes it.
func (p *prophet) passed(pkt Packet) string {
	if name := p.s.Place.Name(pkt.Dst.Addr()); !p.s.Place.serves(pkt.Dst.Addr()) {
		if strings.HasPrefix(name, "client") {
			return "client"
		}
		return name
	}
	if pkt.Protocol == protoSCTP {
		p.unsure = "what the kernel's own SCTP says" // or does not: not every kernel has it
	}
	if pkt.Protocol == protoUDP {
		return "client is refused"
	}
	if pkt.Flags&4 != 0 {
		return ""
	}
	return "client"
}

func (p *prophet) destinations() (out []string) {
	services := make(map[string][]string)
	var order []string
	for k := range p.table {
		name := "service " + serviceName(p.s.Place, k)
		order = append(order, name)
		dests, loads := p.m.Loads(p.now, k)
		for i, d := range dests {
			services[name] = append(services[name], fmt.Sprintf("  %s %s weight=%d active=%d inactive=%d",
				p.s.Place.nameport(d.Addr), d.Forward, d.Weight, loads[i].Active, loads[i].Inactive))
		}
	}
	slices.Sort(order)
	for _, name := range order {
		out = append(append(out, name), services[name]...)
	}
	return out
}

func (p *prophet) connections() (out []string) {
	for _, c := range p.m.Living(p.now) {
		name := func(a netip.AddrPort) string { return p.s.Place.nameport(a) }
		if !p.s.Place.serves(c.Virtual.Addr()) || c.Client.Port() == 0 {
			continue // not looked at, or like a template
		}
		out = append(out, fmt.Sprintf("%s %s %s %s %s", c.Protocol, name(c.Client), name(c.Virtual), name(c.Destination), c.State.Name(c.Protocol)))
	}
	slices.Sort(out)
	return out
}

// shown is what a data plane did show, in the model's words.
func (p Place) shown(seen Seen) (out []string) {
	for _, f := range seen.Frames {
		line := f.To
		if h, ok := headers(f.Bytes); ok && (h.protocol == protoICMP || h.protocol == protoICMPv6) {
			line += " is refused"
		}
		out = append(out, line)
	}
	out = append(out, seen.Destinations...)
	for _, c := range seen.Connections {
		if !strings.Contains(c.What, ":0 ") { // a template
			out = append(out, c.What)
		}
	}
	return out
}

// misjudged says where a data plane did otherwise than the model, if the model
// knows the scenario.
func misjudged(s Scenario, o Observation) string {
	if modelled(s) != "" {
		return ""
	}
	model, err := newProphet(s).foretell()
	if err != nil {
		return "the model: " + err.Error()
	}
	return foretold(s, model, o)
}

// foretold says where a data plane did otherwise than the model said.
func foretold(s Scenario, model [][]string, o Observation) string {
	var out strings.Builder
	if o.Trouble != "" {
		return o.Body + ": " + o.Trouble
	}
	for i, st := range s.Steps {
		if i >= len(o.Steps) {
			return fmt.Sprintf("line %d was not reached\n", st.Line)
		}
		if d := diff(model[i], s.Place.shown(o.Steps[i])); len(d) > 0 {
			fmt.Fprintf(&out, "line %d: %s\n", st.Line, st.Text)
			for _, l := range d {
				fmt.Fprintf(&out, "  %-8s %s\n", map[byte]string{'-': "model", '+': o.Body, ' ': "both"}[l[0]], l[1:])
			}
		}
	}
	return out.String()
}
