package api

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

func (h handlers) toStatus(s *lvs.Snapshot, t lvs.Totals) client.Status {
	out := client.Status{Version: h.o.Version, PID: h.o.PID, Started: h.o.Started, Configured: s.Configured,
		Config: s.Config, Applied: s.Applied, Problem: s.Problem, Plane: s.Plane.Name,
		Interfaces: s.Plane.Modes, TableSince: s.Plane.Since, Services: len(s.Installed),
		Fallbacks: len(s.Fallback), Use: t.Connections}
	if h.o.Refused != nil {
		out.Refused = h.o.Refused()
	}
	if out.Interfaces == nil {
		out.Interfaces = map[string]string{}
	}
	for _, hs := range s.Health {
		for _, health := range hs {
			if health.Up {
				out.Up++
			} else {
				out.Down++
			}
		}
	}
	return out
}

func toServices(s *lvs.Snapshot, t lvs.Totals) []client.Service {
	out := make([]client.Service, 0, len(s.Installed))
	for _, v := range s.Installed {
		counted := t.Services[v.Key]
		c := client.Service{Service: v.Key.String(), Scheduler: string(v.Scheduler), Flags: v.SchedFlags,
			Persistence: v.Persistence.Timeout, Prefix: v.Persistence.Prefix,
			OnePacket: v.OnePacket, Fallback: s.Fallback[v.Key], Counters: counted.Counters,
			Destinations: make([]client.Destination, 0, len(v.Destinations))}
		for _, d := range v.Destinations {
			c.Destinations = append(c.Destinations, toDestination(d, s.Health[v.Key], counted.Destinations[d.Addr]))
		}
		out = append(out, leftOut(c, v, s.Health[v.Key], counted))
	}
	return out
}

// leftOut adds the real servers that are down and therefore not in the table,
// because they are what an operator looks for.
func leftOut(c client.Service, v lvs.Service, health map[netip.AddrPort]lvs.Health, counted lvs.ServiceCounters) client.Service {
	for _, at := range slices.SortedFunc(maps.Keys(health), netip.AddrPort.Compare) {
		if _, ok := v.Destination(at); !ok {
			d := toDestination(lvs.Destination{Addr: at}, health, counted.Destinations[at])
			d.Installed, d.Forward = false, ""
			c.Destinations = append(c.Destinations, d)
		}
	}
	return c
}

func toDestination(d lvs.Destination, health map[netip.AddrPort]lvs.Health, n lvs.DestinationCounters) client.Destination {
	out := client.Destination{Destination: d.Addr.String(), Forward: word(d.Forward), Weight: d.Weight,
		Upper: d.Upper, Lower: d.Lower, Installed: true, Active: n.Active, Inactive: n.Inactive, Counters: n.Counters}
	h, ok := health[d.Addr]
	switch {
	case !ok:
		out.Health = "fallback"
	case h.Up:
		out.Health = "up"
	case h.Reason == lvs.ReasonUnchecked:
		out.Health = "unchecked"
	default:
		out.Health = "down"
	}
	out.Reason, out.Why = string(h.Reason), h.Why
	if !h.Since.IsZero() {
		out.Since = &h.Since
	}
	return out
}

func toConnection(c lvs.Connection) client.Connection {
	return client.Connection{Protocol: strings.ToLower(c.Protocol.String()), Client: c.Client.String(),
		Virtual: c.Virtual.String(), Destination: c.Destination.String(), Forward: word(c.Forward),
		State: c.State.Name(c.Protocol), Expires: int(c.Expires.Seconds())}
}

func toTotals(t lvs.Totals) client.Totals {
	out := client.Totals{Verdicts: t.Verdicts, Connections: t.Connections, Services: []client.ServiceTotal{}}
	if out.Verdicts == nil {
		out.Verdicts = []lvs.PacketVerdict{}
	}
	for _, k := range slices.SortedFunc(maps.Keys(t.Services), lvs.ServiceKey.Compare) {
		out.Services = append(out.Services, client.ServiceTotal{Service: k.String(), Counters: t.Services[k].Counters})
	}
	return out
}

func word(f lvs.Forwarding) string {
	b, err := f.MarshalText()
	if err != nil {
		return f.String()
	}
	return string(b)
}

// filter reads what people type: an address, a prefix, an address and port.
func filter(q client.ConnectionQuery) (f lvs.ConnectionFilter, err error) {
	if q.Protocol != "" {
		if f.Protocol, err = lvs.ParseProtocol(q.Protocol); err != nil {
			return f, err
		}
	}
	if q.Client != "" {
		if f.Client, err = prefix(q.Client); err != nil {
			return f, err
		}
	}
	if f.Virtual, err = place(q.Service); err != nil {
		return f, fmt.Errorf("service: %w", err)
	}
	if f.Destination, err = place(q.Destination); err != nil {
		return f, fmt.Errorf("destination: %w", err)
	}
	f.State = q.State
	return f, nil
}

func prefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("client: %q is neither an address nor a prefix; write 203.0.113.7 or 203.0.113.0/24", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func place(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap, nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address; write 192.0.2.1 or 192.0.2.1:80", s)
	}
	return netip.AddrPortFrom(a, 0), nil
}

// probe reads a made-up packet.
func probe(q client.ExplainQuery) (lvs.Probe, error) {
	p := lvs.Probe{Flags: q.Flags, TTL: q.TTL, Length: q.Length, Interface: q.Interface}
	var err error
	if p.Protocol, err = lvs.ParseProtocol(q.Protocol); err != nil {
		return p, err
	}
	if p.From, err = netip.ParseAddrPort(q.From); err != nil {
		return p, fmt.Errorf("from: not an address with a port: %q", q.From)
	}
	if p.To, err = netip.ParseAddrPort(q.To); err != nil {
		return p, fmt.Errorf("to: not an address with a port: %q", q.To)
	}
	return p, nil
}
