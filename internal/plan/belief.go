package plan

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// Why a destination is held down or up that nobody has answered for.
const (
	WhyUnchecked = "not checked yet"
	WhyAdopted   = "was in service when weir started"
	WhyOff       = "its check is off"
	WhyByHand    = "put in service by hand"
)

// Believe is what to hold true of every real server of cfg before the next
// answer: what was known stays; a server found installed with a weight is
// serving and stays up until its first answer; any other is down until a good
// one. (ldirectord sends traffic to servers it has not checked yet.)
func Believe(cfg config.Config, known Beliefs, installed []lvs.Service) Beliefs {
	out := make(Beliefs, len(cfg.Services))
	standing := byKey(installed)
	for _, c := range cfg.Services {
		out[c.Key] = BelieveOne(c, known[c.Key], standing[c.Key])
	}
	return out
}

// BelieveOne is Believe for one service.
func BelieveOne(c config.Service, known lvs.Healths, installed lvs.Service) lvs.Healths {
	serving := make(map[netip.AddrPort]bool, len(installed.Destinations))
	for _, d := range installed.Destinations {
		serving[d.Addr] = d.Weight > 0
	}
	hs := make([]lvs.DestinationHealth, len(c.Reals))
	for i, r := range c.Reals {
		was, seen := known.Get(r.Addr)
		hs[i] = lvs.DestinationHealth{Addr: r.Addr, Health: believe(r, was, seen, serving[r.Addr])}
	}
	return lvs.HealthsOf(hs...)
}

func believe(r config.Real, was lvs.Health, seen, serving bool) lvs.Health {
	switch {
	case r.Check.Value().Kind == lvs.CheckOn:
		return lvs.Health{Up: true, Since: was.Since}
	case r.Check.Value().Kind == lvs.CheckOff:
		return lvs.Health{Reason: lvs.ReasonOff, Why: WhyOff, Since: was.Since}
	case seen && (was.Checked || was.Why == WhyByHand):
		return was
	case seen && was.Up, !seen && serving: // one that was seen may serve by an order alone
		return lvs.Health{Up: true, Why: WhyAdopted}
	}
	return lvs.Health{Reason: lvs.ReasonUnchecked, Why: WhyUnchecked}
}

// Targets lists what is to be checked, in the order of the configuration.
func Targets(cfg config.Config, b Beliefs) []lvs.Target {
	var out []lvs.Target
	for _, c := range cfg.Services {
		out = append(out, TargetsOf(c, b)...)
	}
	return out
}

// TargetsOf is Targets for one service.
func TargetsOf(c config.Service, b Beliefs) (out []lvs.Target) {
	for _, r := range c.Reals {
		if check := r.Check.Value(); check.Asks() {
			out = append(out, lvs.Target{Service: c.Key, Destination: r.Addr,
				Check: check, Up: b[c.Key].At(r.Addr).Up})
		}
	}
	return out
}

// Addresses lists every address a packet may have to reach: real servers and
// sorry servers, each once, sorted.
func Addresses(cfg config.Config) []netip.Addr {
	var out []netip.Addr
	for _, c := range cfg.Services {
		out = append(out, AddressesOf(c)...)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// AddressesOf has those of one service, as often as they stand there.
func AddressesOf(c config.Service) []netip.Addr {
	out := make([]netip.Addr, 0, len(c.Reals)+1)
	for _, r := range c.Reals {
		out = append(out, r.Addr.Addr())
	}
	if c.Fallback != nil {
		out = append(out, c.Fallback.Addr.Addr())
	}
	return out
}

// Patience is how long c's first answers may take: the longest interval and
// timeout of its checks together. Zero when nothing is asked.
func Patience(c config.Service) time.Duration {
	var p time.Duration
	for _, r := range c.Reals {
		if check := r.Check.Value(); check.Asks() {
			p = max(p, check.Interval+check.Timeout)
		}
	}
	return p
}
