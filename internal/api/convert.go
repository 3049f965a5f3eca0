package api

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

func (h handlers) toStatus(s *lvs.Snapshot, use lvs.ConnectionUse) client.Status {
	out := client.Status{Version: h.o.Version, PID: h.o.PID, Started: h.o.Started, Configured: s.Configured,
		Config: s.Config, Applied: s.Applied, Problem: s.Problem, Plane: s.Plane.Name,
		Interfaces: s.Plane.Modes, TableSince: s.Plane.Since, Services: s.Installed.Len(),
		Fallbacks: s.Fallback.Len(), Use: use}
	for _, d := range s.Drift {
		out.Drift = append(out.Drift, client.Drift{Service: d.Name(), Kind: string(d.Kind), Lines: d.Lines})
	}
	if h.o.Refused != nil {
		out.Refused = h.o.Refused()
	}
	if h.o.Served != nil {
		out.Served, out.ServedWrong = h.o.Served()
	}
	if out.Interfaces == nil {
		out.Interfaces = map[string]string{}
	}
	for hs := range s.Health.Values() {
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

// toService has room for the destinations, or makes some.
func toService(s *lvs.Snapshot, v lvs.Service, counted lvs.ServiceCounters, room []client.Destination) client.Service {
	c := client.Service{ServiceSpec: client.SpecOf(v), Tag: v.Tag(), ByHand: string(s.ByHand.At(v.Key)), Fallback: s.Fallback.At(v.Key),
		Counters: counted.Counters, Rates: counted.Rates, Destinations: room[:0]}
	if room == nil {
		c.Destinations = make([]client.Destination, 0, len(v.Destinations))
	}
	k := known{s.Health.At(v.Key), s.Orders.At(v.Key), s.Network.Paths}
	watched := 0
	for i, d := range v.Destinations {
		c.Destinations = append(c.Destinations, k.toDestination(d, counted.Of(i, d.Addr)))
		if _, ok := k.health.Get(d.Addr); ok {
			watched++
		}
	}
	ofOthers(s, v, c.Destinations)
	if watched < len(k.health) {
		c.Destinations = append(c.Destinations, k.leftOut(v, counted)...)
	}
	return c
}

// What is known of the destinations of a service.
type known struct {
	health lvs.Healths
	orders map[netip.AddrPort]lvs.Order
	paths  map[netip.Addr]lvs.Path
}

// ofOthers marks the destinations somebody else put there: nobody watches
// them, but they stand in for nothing.
func ofOthers(s *lvs.Snapshot, v lvs.Service, ds []client.Destination) {
	if !slices.ContainsFunc(s.Drift, func(d lvs.Drift) bool { return d.Service == v.Key && d.Kind != lvs.DriftSetting }) {
		return
	}
	wanted := s.Wanted.At(v.Key)
	for i, d := range v.Destinations {
		if _, ok := wanted.Destination(d.Addr); !ok {
			ds[i].Health, ds[i].Why = "unchecked", "put there by somebody else"
		}
	}
}

func toOrder(o lvs.Order) *client.Order {
	out := &client.Order{Weight: o.Weight, Since: o.Since}
	if !o.Until.IsZero() {
		out.Until = &o.Until
	}
	return out
}

// leftOut are the real servers that are down and therefore not in the table,
// because they are what an operator looks for.
func (k known) leftOut(v lvs.Service, counted lvs.ServiceCounters) (out []client.Destination) {
	for _, h := range k.health {
		if _, ok := v.Destination(h.Addr); !ok {
			d := k.toDestination(lvs.Destination{Addr: h.Addr}, counted.Of(0, h.Addr))
			d.Installed, d.Forward = false, ""
			out = append(out, d)
		}
	}
	return out
}

func (k known) toDestination(d lvs.Destination, n lvs.DestinationCounters) client.Destination {
	out := client.Destination{DestinationSpec: client.DestinationSpecOf(d), Installed: true,
		Active: n.Active, Inactive: n.Inactive, Templates: n.Templates, Counters: n.Counters, Rates: n.Rates}
	if o, ok := k.orders[d.Addr]; ok {
		out.Order = toOrder(o)
	}
	h, ok := k.health.Get(d.Addr)
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
	if trouble := k.paths[d.Addr.Addr()].Trouble; trouble != "" && out.Why == "" {
		out.Why = trouble
	}
	if since := h.Since; !since.IsZero() {
		out.Since = &since
	}
	return out
}

func toConnection(c lvs.Connection) client.Connection {
	return client.Connection{Protocol: strings.ToLower(c.Protocol.String()), Client: c.Client.String(),
		Virtual: c.Virtual.String(), Destination: c.Destination.String(), Forward: word(c.Forward),
		State: c.StateName(), Expires: int(c.Expires.Seconds())}
}

func toTotals(t lvs.Totals) client.Totals {
	out := client.Totals{Verdicts: t.Verdicts, Connections: t.Connections, Services: []client.ServiceTotal{},
		All: t.All, AllRates: t.AllRates}
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
