// Package plan is weir's arithmetic: from the configuration, what is known of
// the real servers and what operators ordered it works out which services
// should stand, and by which steps the ones that do stand become them.
//
// It is pure: same question, same answer. It never asks the clock, the
// network or a data plane, and it never does a step itself.
package plan

import (
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// Beliefs are what is held true of each real server of each service.
type Beliefs map[lvs.ServiceKey]lvs.Healths

// Orders are the weights operators gave.
type Orders map[lvs.ServiceKey]map[netip.AddrPort]lvs.Order

// Inputs is everything the answer depends on.
type Inputs struct {
	Config     config.Config
	Configured bool // the first configuration has arrived
	Health     Beliefs
	// Orders are weights an operator gave by hand. They beat configuration
	// and verdict.
	Orders Orders
	// Waiting names services whose first answers are still out. Their sorry
	// server stays away: every start would flash it otherwise.
	Waiting map[lvs.ServiceKey]bool
}

// Desired is what should be installed, in key order. Destinations stand as
// IPVS would list them had they been added in file order: the last one first.
func Desired(in Inputs) []lvs.Service {
	if !in.Configured {
		return nil
	}
	out := make([]lvs.Service, 0, len(in.Config.Services))
	for _, c := range in.Config.Services {
		out = append(out, One(in, c))
	}
	slices.SortFunc(out, func(a, b lvs.Service) int { return a.Key.Compare(b.Key) })
	return out
}

// One is how the service c asks for should be installed. Nothing of in but
// what is said about this service goes into it, so whoever changes that need
// ask for no other.
func One(in Inputs, c config.Service) lvs.Service {
	s := lvs.Service{Key: c.Key, Scheduler: c.Scheduler, SchedFlags: c.SchedFlags,
		Persistence: c.Persistence, OnePacket: c.OnePacket}
	s.Destinations = make([]lvs.Destination, 0, len(c.Reals)) // it stands for long, and what grows has room to spare
	for _, r := range slices.Backward(c.Reals) {
		if d, stands := destination(in, c, r); stands {
			s.Destinations = append(s.Destinations, d)
		}
	}
	if FallbackOn(in, c) {
		s.Destinations = withFallback(s.Destinations, *c.Fallback)
	}
	return s
}

// destination is r as it should stand, if it should.
func destination(in Inputs, c config.Service, r config.Real) (lvs.Destination, bool) {
	d := r.Destination
	up := in.Health[c.Key].At(d.Addr).Up
	order, ordered := in.Orders[c.Key][d.Addr]
	switch {
	case ordered:
		d.Weight = order.Weight
	case !up && c.Quiescent:
		d.Weight = 0
	case !up:
		return d, false
	}
	return d, true
}

// LeftOut tells whether the destination at addr is asked for but does not
// stand in the table, since it is down.
func LeftOut(in Inputs, c config.Service, at netip.AddrPort) bool {
	i := find(c.Reals, at)
	if i < 0 {
		return false
	}
	_, stands := destination(in, c, c.Reals[i])
	return !stands
}

// withFallback adds the sorry server at the head, where a new destination
// goes, or lends its weight to a quiesced real server of the same address.
func withFallback(ds []lvs.Destination, f lvs.Destination) []lvs.Destination {
	f.Weight = 1
	if i := slices.IndexFunc(ds, func(d lvs.Destination) bool { return d.Addr == f.Addr }); i >= 0 {
		ds[i] = f
		return ds
	}
	return slices.Insert(ds, 0, f)
}

// FallbackOn tells whether the sorry server of c stands in: there is one, no
// real server is up, and the service is not waiting for first answers. A
// server an operator gave a weight counts as up; a real server that is up
// with a configured weight of 0 does too, as in ldirectord.
func FallbackOn(in Inputs, c config.Service) bool {
	if c.Fallback == nil {
		return false
	}
	unanswered := false
	for _, r := range c.Reals {
		h := in.Health[c.Key].At(r.Addr)
		if h.Up || in.Orders[c.Key][r.Addr].Weight > 0 {
			return false
		}
		unanswered = unanswered || r.Check.Value().Asks() && !h.Checked
	}
	return !unanswered || !in.Waiting[c.Key]
}

// Order puts want into the order a kernel list would have after the change
// from have: destinations that stay keep their place, the others go to the
// head, among themselves as want has them.
func Order(have, want []lvs.Destination) []lvs.Destination {
	out := make([]lvs.Destination, 0, len(want))
	at := make(map[netip.AddrPort]lvs.Destination, len(want))
	stood := make(map[netip.AddrPort]bool, len(have))
	for _, h := range have {
		stood[h.Addr] = true
	}
	for _, d := range want {
		at[d.Addr] = d
		if !stood[d.Addr] {
			out = append(out, d)
		}
	}
	for _, h := range have {
		if d, ok := at[h.Addr]; ok {
			out = append(out, d)
		}
	}
	return out
}
