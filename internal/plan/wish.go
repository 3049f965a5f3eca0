package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Wish is the table as it is asked for: the configuration, as operators
// have changed it by hand since. The services in it are values; a change puts
// another one in their place.
type Wish map[lvs.ServiceKey]config.Service

// WishOf is what a configuration asks for.
func WishOf(c config.Config) Wish {
	w := make(Wish, len(c.Services))
	for _, s := range c.Services {
		w[s.Key] = s
	}
	return w
}

// Services are those asked for, in key order.
func (w Wish) Services() []config.Service {
	all := slices.AppendSeq(make([]config.Service, 0, len(w)), maps.Values(w)) // what grows takes three times as much
	slices.SortFunc(all, func(a, b config.Service) int { return a.Key.Compare(b.Key) })
	return all
}

// Reload applies what has changed between two versions of the configuration,
// and nothing else: what was changed by hand stays until the configuration
// changes that very thing. It returns the services it touched.
func (w Wish) Reload(old, new config.Config) (touched []lvs.ServiceKey) {
	before, after := WishOf(old), WishOf(new)
	for _, s := range new.Services {
		was, had := before[s.Key]
		have, stands := w[s.Key]
		switch {
		case !had && stands:
			w[s.Key] = takeOver(have, s)
		case !had, !stands && !sameHead(was, s):
			w[s.Key] = s
		case !stands: // deleted by hand, and the configuration says of it what it said
			continue
		default:
			w[s.Key] = merge(was, s, have)
		}
		touched = append(touched, s.Key)
	}
	for _, s := range old.Services {
		if _, has := after[s.Key]; !has {
			delete(w, s.Key)
			touched = append(touched, s.Key)
		}
	}
	return touched
}

// takeOver is a service made by hand that the configuration now asks for,
// too: as it says, with the destinations it does not speak of.
func takeOver(hand, file config.Service) config.Service {
	out := file
	out.Reals = slices.Clone(file.Reals)
	for _, r := range hand.Reals {
		if find(file.Reals, r.Addr) < 0 {
			out.Reals = append(out.Reals, r)
		}
	}
	return out
}

// merge brings have, once asked for by was, to what the configuration says
// now, as far as that is news.
func merge(was, now, have config.Service) config.Service {
	out := have
	news(&out.Scheduler, was.Scheduler, now.Scheduler)
	news(&out.SchedFlags, was.SchedFlags, now.SchedFlags)
	news(&out.Persistence, was.Persistence, now.Persistence)
	news(&out.OnePacket, was.OnePacket, now.OnePacket)
	news(&out.Quiescent, was.Quiescent, now.Quiescent)
	news(&out.CleanStop, was.CleanStop, now.CleanStop)
	if !sameFallback(was.Fallback, now.Fallback) {
		out.Fallback = now.Fallback
	}
	out.Place, out.FallbackPlace = now.Place, now.FallbackPlace
	out.Reals = mergeReals(was.Reals, now.Reals, have.Reals)
	return out
}

func mergeReals(was, now, have []config.Real) []config.Real {
	out := slices.DeleteFunc(slices.Clone(have), func(r config.Real) bool {
		return find(was, r.Addr) >= 0 && find(now, r.Addr) < 0
	})
	for _, n := range now {
		i, j := find(was, n.Addr), find(out, n.Addr)
		switch {
		case i < 0 && j >= 0:
			out[j] = n
		case i < 0, j < 0 && !sameReal(was[i], n):
			out = append(out, n)
		case j >= 0:
			out[j] = mergeReal(was[i], n, out[j])
		}
	}
	return out
}

func mergeReal(was, now, have config.Real) config.Real {
	news(&have.Forward, was.Forward, now.Forward)
	news(&have.Weight, was.Weight, now.Weight)
	news(&have.Upper, was.Upper, now.Upper)
	news(&have.Lower, was.Lower, now.Lower)
	news(&have.Encap, was.Encap, now.Encap)
	news(&have.Check, was.Check, now.Check)
	have.Place = now.Place
	return have
}

// news sets have to what is said now if that was not said before.
func news[T comparable](have *T, was, now T) {
	if was != now {
		*have = now
	}
}

func find(rs []config.Real, at netip.AddrPort) int {
	return slices.IndexFunc(rs, func(r config.Real) bool { return r.Addr == at })
}

func sameFallback(a, b *lvs.Destination) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// sameReal compares what is asked for, wherever it stands in the file.
func sameReal(a, b config.Real) bool {
	return a.Destination == b.Destination && a.Check == b.Check
}

func sameHead(a, b config.Service) bool {
	return a.Scheduler == b.Scheduler && a.SchedFlags == b.SchedFlags && a.Persistence == b.Persistence &&
		a.OnePacket == b.OnePacket && a.Quiescent == b.Quiescent && a.CleanStop == b.CleanStop &&
		sameFallback(a.Fallback, b.Fallback)
}

// same tells whether a and b ask for the same, wherever it is written.
func same(a, b config.Service) bool {
	return a.Key == b.Key && sameHead(a, b) && slices.EqualFunc(a.Reals, b.Reals, sameReal)
}

// ByHand names the services that are not as the configuration asks.
func (w Wish) ByHand(file Wish) map[lvs.ServiceKey]lvs.Hand {
	out := make(map[lvs.ServiceKey]lvs.Hand)
	for _, keys := range []Wish{w, file} {
		for k := range keys {
			if hand := w.HandOf(k, file); hand != "" {
				out[k] = hand
			}
		}
	}
	return out
}

// HandOf is what was done by hand to one service; empty: nothing.
func (w Wish) HandOf(k lvs.ServiceKey, file Wish) lvs.Hand {
	s, stands := w[k]
	f, has := file[k]
	switch {
	case stands && !has:
		return lvs.HandAdded
	case has && !stands:
		return lvs.HandDeleted
	case !same(f, s):
		return lvs.HandChanged
	}
	return ""
}

// Has tells whether s asks for the destination at addr.
func Has(s config.Service, addr netip.AddrPort) bool { return find(s.Reals, addr) >= 0 }
