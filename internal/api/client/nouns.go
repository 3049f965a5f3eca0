package client

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// SpecOf is a service in the words of the API, without its destinations.
func SpecOf(s lvs.Service) ServiceSpec {
	return ServiceSpec{Service: s.Key.String(), Scheduler: string(s.Scheduler), Flags: s.SchedFlags,
		Persistence: s.Persistence.Timeout, Mask: s.Persistence.Mask, Engine: s.Persistence.Engine, OnePacket: s.OnePacket}
}

// Noun reads a service.
func (s ServiceSpec) Noun() (lvs.Service, error) {
	k, err := lvs.ParseServiceKey(s.Service)
	if err != nil {
		return lvs.Service{}, fmt.Errorf("%w: %w", err, lvs.ErrInvalid)
	}
	out := lvs.Service{Key: k, Scheduler: lvs.Scheduler(s.Scheduler), SchedFlags: s.Flags, OnePacket: s.OnePacket,
		Persistence: lvs.Persistence{Timeout: s.Persistence, Mask: s.Mask, Engine: s.Engine}}
	if out.Scheduler == "" {
		out.Scheduler = lvs.WLC
	}
	if s.Persistence != 0 && !s.Mask.IsValid() {
		out.Persistence.Mask = lvs.MaskOf(k.AF(), k.AddressBits())
	}
	return out, nil
}

// DestinationSpecOf is a destination in the words of the API.
func DestinationSpecOf(d lvs.Destination) DestinationSpec {
	out := DestinationSpec{Destination: d.Addr.String(), Forward: d.Method(), Weight: d.Weight, Upper: d.Upper, Lower: d.Lower}
	if d.Forward == lvs.Tunnel && d.Encap.Type != lvs.IPIP {
		out.TunnelPort, out.TunnelSum = d.Encap.Port, d.Encap.Checksum.String()
	}
	return out
}

// Noun reads a destination.
func (d DestinationSpec) Noun() (out lvs.Destination, err error) {
	out = lvs.Destination{Forward: lvs.DirectRoute, Weight: d.Weight, Upper: d.Upper, Lower: d.Lower}
	if out.Addr, err = netip.ParseAddrPort(d.Destination); err != nil {
		return out, fmt.Errorf("destination %q: want address and port: %w", d.Destination, lvs.ErrInvalid)
	}
	if d.Forward != "" {
		if out.Forward, out.Encap.Type, err = lvs.ParseMethod(d.Forward); err != nil {
			return out, fmt.Errorf("%w: %w", err, lvs.ErrInvalid)
		}
	}
	out.Encap.Port = d.TunnelPort
	if d.TunnelSum != "" {
		if out.Encap.Checksum, err = lvs.ParseTunnelChecksum(d.TunnelSum); err != nil {
			return out, fmt.Errorf("%w: %w", err, lvs.ErrInvalid)
		}
	}
	return out, nil
}

// Noun reads a service with the destinations that are in the table.
func (s Service) Noun() (lvs.Service, error) {
	out, err := s.ServiceSpec.Noun()
	for _, d := range s.Destinations {
		if err != nil {
			break
		}
		if d.Installed {
			var n lvs.Destination
			n, err = d.DestinationSpec.Noun()
			out.Destinations = append(out.Destinations, n)
		}
	}
	return out, err
}

// TableOf is a table in the words of the API.
func TableOf(ss []lvs.Service) Table {
	out := Table{Services: make([]TableService, 0, len(ss))}
	for _, s := range ss {
		t := TableService{ServiceSpec: SpecOf(s), Destinations: make([]DestinationSpec, 0, len(s.Destinations))}
		for _, d := range s.Destinations {
			t.Destinations = append(t.Destinations, DestinationSpecOf(d))
		}
		out.Services = append(out.Services, t)
	}
	return out
}

// Noun reads a table, with everything that is wrong about it.
func (t Table) Noun() (out []lvs.Service, errs []error) {
	for _, s := range t.Services {
		n, err := s.ServiceSpec.Noun()
		if err != nil {
			errs = append(errs, err)
		}
		for _, d := range s.Destinations {
			dn, err := d.Noun()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.Service, err))
			}
			n.Destinations = append(n.Destinations, dn)
		}
		out = append(out, n)
	}
	return out, errs
}

// ChangeOf is a change in the words of the API.
func ChangeOf(c lvs.Change) Change {
	out := Change{Kind: string(c.Kind), Match: c.Match.String()}
	if !c.Until.IsZero() {
		out.Until = &c.Until
	}
	if c.Kind == lvs.SetTimeouts {
		t := TimeoutsOf(c.Timeouts)
		out.Timeouts = &t
	}
	if c.Service.Key != (lvs.ServiceKey{}) {
		s := SpecOf(c.Service)
		out.Service = &s
	}
	if c.Destination.Addr.IsValid() {
		d := DestinationSpecOf(c.Destination)
		out.Destination = &d
	}
	return out
}

// Noun reads a change.
func (c Change) Noun() (lvs.Change, error) {
	out := lvs.Change{Kind: lvs.ChangeKind(c.Kind)}
	var err error
	if c.Match != "" {
		if out.Match, err = lvs.ParseMatch(c.Match); err != nil {
			return out, fmt.Errorf("match: %w: %w", err, lvs.ErrInvalid)
		}
	}
	switch out.Kind {
	case lvs.ClearTable:
		return out, nil
	case lvs.SetTimeouts:
		if c.Timeouts == nil {
			return out, fmt.Errorf("%s without timeouts: %w", c.Kind, lvs.ErrInvalid)
		}
		out.Timeouts = c.Timeouts.Noun()
		return out, nil
	}
	if c.Service == nil {
		return out, fmt.Errorf("%s without a service: %w", c.Kind, lvs.ErrInvalid)
	}
	if out.Service, err = c.Service.Noun(); err != nil {
		return out, err
	}
	switch out.Kind {
	case lvs.AddService, lvs.EditService, lvs.DeleteService:
		return out, nil
	}
	if c.Destination == nil {
		return out, fmt.Errorf("%s without a destination: %w", c.Kind, lvs.ErrInvalid)
	}
	if c.Until != nil {
		out.Until = *c.Until
	}
	out.Destination, err = c.Destination.Noun()
	return out, err
}

// TimeoutsOf are timeouts in the words of the API.
func TimeoutsOf(t lvs.Timeouts) Timeouts {
	return Timeouts{TCP: uint32(t.TCP / time.Second), TCPFin: uint32(t.TCPFin / time.Second), UDP: uint32(t.UDP / time.Second)}
}

// Noun reads timeouts.
func (t Timeouts) Noun() lvs.Timeouts {
	return lvs.Timeouts{TCP: time.Duration(t.TCP) * time.Second, TCPFin: time.Duration(t.TCPFin) * time.Second,
		UDP: time.Duration(t.UDP) * time.Second}
}
