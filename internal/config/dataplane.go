package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// A Dataplane says who forwards packets.
type Dataplane string

// The data planes.
const (
	EBPF Dataplane = "ebpf" // weir's own packet engine
	IPVS Dataplane = "ipvs" // the kernel's
)

// A Drift says what to do about changes others make to a table that is not
// weir's alone.
type Drift string

// What can be done about drift.
const (
	ReportDrift  Drift = "report"
	CorrectDrift Drift = "correct"
)

// onlyEBPF are the keys that say something the kernel's IPVS cannot do, or
// has in another place, with what to do instead.
var onlyEBPF = []struct {
	in        *object
	key, hint string
	said      func(Config) bool // by a configuration without lines
}{
	{rootKeys, "marks", "give packets their marks with nftables, before the kernel's IPVS sees them", func(c Config) bool { return len(c.Marks) > 0 }},
	{engineKeys, "mode", "the kernel's IPVS has one place, behind the filter's INPUT rules", func(c Config) bool { return c.Engine.Mode != ModeAuto }},
	{engineKeys, "interfaces", "the kernel's IPVS takes packets from all interfaces; narrow that with nftables", func(c Config) bool { return len(c.Engine.Interfaces) > 0 }},
	{engineKeys, "connections", "the kernel's table grows as it must; its buckets are the parameter conn_tab_bits of the module ip_vs", func(c Config) bool { return c.Engine.Connections != Default().Engine.Connections }},
	{engineKeys, "connections_ipv6", "the kernel's IPVS has one table for all connections", func(c Config) bool { return c.Engine.Connections6 != 0 }},
	{engineKeys, "half_open", "the kernel's IPVS has one table for all connections; drop_entry under vs makes it forget half-open ones", func(c Config) bool { return c.Engine.HalfOpen != Default().Engine.HalfOpen }},
	{engineKeys, "wide", "the kernel's IPVS has one table for all connections", func(c Config) bool { return c.Engine.Wide != Default().Engine.Wide }},
}

// dataplane reads the keys about data planes, which other keys depend on.
func (r *reader) dataplane(f fields, c *Config) {
	readWord(f, "dataplane", &c.Engine.Dataplane)
	readWord(f, "drift", &c.Drift)
	r.kernels = c.Engine.Dataplane == IPVS
	if f.has("drift") && !r.kernels {
		r.problems.Warnf(r.place(f.node["drift"]), "drift does nothing with dataplane: ebpf, whose table nobody else can change")
	}
}

// unfit refuses the keys of f that do not go with the data plane.
func (r *reader) unfit(f fields) {
	if !r.kernels {
		return
	}
	for _, o := range onlyEBPF {
		if n := f.node[o.key]; o.in == f.of && n != nil && !empty(n) {
			r.errorf(n, "%s", unfitText(o.key, o.hint))
		}
	}
}

// empty tells whether n says nothing: null, or a list without entries.
func empty(n *yaml.Node) bool {
	return isNull(n) || n.Kind == yaml.SequenceNode && len(n.Content) == 0
}

func unfitText(key, hint string) string {
	return fmt.Sprintf("%s: not with dataplane: ipvs; %s", key, hint)
}

// Unfit is what of c does not go with its data plane, where the two were not
// said in one file: a command line said the data plane.
func Unfit(c Config) (ps Problems) {
	if c.Engine.Dataplane != IPVS {
		return nil
	}
	for _, o := range onlyEBPF {
		if o.said(c) {
			ps.Errorf(Place{}, "%s", unfitText(o.key, o.hint))
		}
	}
	return ps
}

func (v *validator) dataplane(c *Config) {
	if !slices.Contains([]Dataplane{EBPF, IPVS}, c.Engine.Dataplane) {
		v.Errorf(Place{}, "unknown dataplane %q; use ebpf or ipvs", c.Engine.Dataplane)
	}
	if !slices.Contains([]Drift{ReportDrift, CorrectDrift}, c.Drift) {
		v.Errorf(Place{}, "unknown drift %q; use report or correct", c.Drift)
	}
}
