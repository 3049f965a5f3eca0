package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// Apply makes one change to the services asked for, or refuses it with an
// error of lvs and changes nothing. Checks come in the order of the kernel's
// IPVS, so that of two faults the same one is told. File is the
// configuration: a destination it asks for and that is put back by hand is
// checked as it says.
func (w Wish) Apply(c lvs.Change, file Wish) error {
	if c.Kind == lvs.ClearTable {
		clear(w)
		return nil
	}
	if c.Kind == lvs.ReplaceTable {
		return w.replace(c.Table, file)
	}
	k := c.Service.Key
	s, ok := w[k]
	switch {
	case c.Kind == lvs.AddService && ok:
		return refuse(lvs.ErrServiceExists, k)
	case c.Kind != lvs.AddService && !ok:
		return refuse(lvs.ErrNoService, k)
	case c.Kind == lvs.DeleteService:
		delete(w, k)
		return nil
	case c.Kind == lvs.AddService, c.Kind == lvs.EditService:
		if err := headFault(c.Service); err != nil {
			return err
		}
		w[k] = withHead(s, c.Service)
		return nil
	}
	s, err := withDestination(s, c, file[k])
	if err == nil {
		w[k] = s
	}
	return err
}

// replace makes table all that is asked for, if every word of it is good.
func (w Wish) replace(table []lvs.Service, file Wish) error {
	fresh := make(Wish, len(table))
	var errs []error
	for _, s := range table {
		err := fresh.Apply(lvs.Change{Kind: lvs.AddService, Service: s}, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		// What else is known of it stays: checks, and the sorry server.
		if was, ok := w[s.Key]; ok {
			was.Reals = nil
			fresh[s.Key] = withHead(was, s)
		}
		for _, d := range slices.Backward(s.Destinations) {
			c := lvs.Change{Kind: lvs.AddDestination, Service: s, Destination: d}
			errs = append(errs, fresh.Apply(c, Wish{s.Key: checksOf(w[s.Key], file[s.Key])}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	clear(w)
	maps.Copy(w, fresh)
	return nil
}

// checksOf has the checks that are known for a service's servers.
func checksOf(now, file config.Service) config.Service {
	return config.Service{Reals: slices.Concat(now.Reals, file.Reals)}
}

func refuse(err error, what fmt.Stringer) error { return fmt.Errorf("%v: %w", what, err) }

// headFault is why IPVS would not take the service's own values. It takes any
// address, also of many hosts.
func headFault(s lvs.Service) error {
	switch {
	case !validKey(s.Key):
		return fmt.Errorf("%v: %w", s.Key, lvs.ErrInvalid)
	case s.Scheduler != lvs.None && !slices.Contains(lvs.Schedulers, s.Scheduler):
		return fmt.Errorf("scheduler %q: %w", s.Scheduler, lvs.ErrNoScheduler)
	case s.Persistence.Engine != "" && s.Persistence.Engine != "sip":
		return fmt.Errorf("persistence engine %q: %w", s.Persistence.Engine, lvs.ErrNoScheduler)
	case s.SchedFlags > 7:
		return fmt.Errorf("scheduler flags %d: %w", s.SchedFlags, lvs.ErrInvalid)
	case s.Persistence.Timeout != 0 && (!s.Persistence.Mask.IsValid() || lvs.FamilyOf(s.Persistence.Mask) != s.Key.AF()):
		return fmt.Errorf("persistence mask %s: %w", s.Persistence.Mask, lvs.ErrInvalid)
	}
	return nil
}

func validKey(k lvs.ServiceKey) bool {
	if k.Mark != 0 {
		return (k.Family == lvs.IPv4 || k.Family == lvs.IPv6) && k.Addr == netip.AddrPort{} && k.Protocol == 0
	}
	a := k.Addr.Addr()
	return a.IsValid() && a == a.Unmap() && a.Zone() == "" && k.Family == 0 &&
		(k.Protocol == lvs.TCP || k.Protocol == lvs.UDP || k.Protocol == lvs.SCTP)
}

// withHead is have with everything of s but its destinations. What IPVS has no
// words for stays as the configuration has it.
func withHead(have config.Service, s lvs.Service) config.Service {
	if have.Key == (lvs.ServiceKey{}) {
		have = config.Service{Key: s.Key, CleanStop: true}
	}
	have.Scheduler, have.SchedFlags, have.OnePacket = s.Scheduler, s.SchedFlags, s.OnePacket
	have.Persistence = s.Persistence
	return have
}

// withDestination is s after a change of one destination.
func withDestination(s config.Service, c lvs.Change, file config.Service) (config.Service, error) {
	d := c.Destination
	if c.Kind != lvs.DeleteDestination {
		if err := destinationFault(s.Key, d); err != nil {
			return s, err
		}
	}
	// Only one that is added is asked whether it can be anybody's address: what
	// is to be edited is looked for first (ip_vs_edit_dest).
	i := find(s.Reals, d.Addr)
	if c.Kind == lvs.AddDestination && i < 0 {
		if err := hostFault(d.Addr.Addr()); err != nil {
			return s, err
		}
	}
	sorry := i < 0 && s.Fallback != nil && s.Fallback.Addr == d.Addr
	switch {
	case c.Kind == lvs.AddDestination && i >= 0:
		return s, refuse(lvs.ErrDestinationExists, d.Addr)
	case c.Kind == lvs.AddDestination:
		// The slice may be longer than anybody else sees it.
		s.Reals = append(s.Reals, realOf(d, file))
	case sorry && c.Kind == lvs.EditDestination:
		s.Fallback = &d
	case sorry:
		s.Fallback = nil
	case i < 0:
		return s, refuse(lvs.ErrNoDestination, d.Addr)
	case c.Kind == lvs.EditDestination:
		s.Reals = slices.Clone(s.Reals)
		s.Reals[i].Destination = d
	default:
		s.Reals = slices.Delete(slices.Clone(s.Reals), i, i+1)
	}
	return s, nil
}

// realOf is a destination added by hand. The configuration's check is asked if it
// has one for it; else nobody asks, and it is up.
func realOf(d lvs.Destination, file config.Service) config.Real {
	r := config.Real{Destination: d, Check: config.CheckOf(lvs.Check{Kind: lvs.CheckOn})}
	if i := find(file.Reals, d.Addr); i >= 0 {
		r.Check, r.Place = file.Reals[i].Check, file.Reals[i].Place
	}
	return r
}

// destinationFault is why IPVS would not take d (__ip_vs_update_dest and its
// callers).
func destinationFault(k lvs.ServiceKey, d lvs.Destination) error {
	a := d.Addr.Addr()
	switch {
	case !a.IsValid() || a != a.Unmap() || a.Zone() != "":
		return fmt.Errorf("destination %v: %w", d.Addr, lvs.ErrInvalid)
	case lvs.FamilyOf(a) != k.AF() && d.Forward != lvs.Tunnel:
		return fmt.Errorf("destination %v of another address family without a tunnel: %w", d.Addr, lvs.ErrInvalid)
	case d.Weight < 0 || d.Weight > math.MaxInt32:
		return fmt.Errorf("weight %d: %w", d.Weight, lvs.ErrRange)
	case d.Upper > math.MaxInt32 || d.Lower > math.MaxInt32:
		return fmt.Errorf("thresholds %d and %d: %w", d.Upper, d.Lower, lvs.ErrInvalid)
	case d.Lower > d.Upper:
		return fmt.Errorf("lower threshold %d above the upper one %d: %w", d.Lower, d.Upper, lvs.ErrRange)
	case d.Forward != lvs.Masquerade && d.Forward != lvs.Tunnel && d.Forward != lvs.DirectRoute:
		return fmt.Errorf("forwarding method %d: %w", d.Forward, lvs.ErrInvalid)
	case d.Forward != lvs.Tunnel && d.Encap != lvs.Encap{}:
		return fmt.Errorf("a tunnel type without a tunnel: %w", lvs.ErrInvalid)
	case d.Encap.Fault() != "":
		return fmt.Errorf("%s: %w", d.Encap.Fault(), lvs.ErrInvalid)
	}
	return nil
}

// hostFault is why an address is not that of one host (ip_vs_new_dest).
func hostFault(a netip.Addr) error {
	if a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() && a.Is6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("%s is not the address of one host: %w", a, lvs.ErrInvalid)
	}
	return nil
}
