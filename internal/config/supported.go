package config

import (
	"slices"

	"github.com/weir-lb/weir/internal/lvs"
)

// carriedOut are the schedulers the packet engine of this version knows.
var carriedOut = []lvs.Scheduler{lvs.RR, lvs.WRR, lvs.LC, lvs.WLC, lvs.SED, lvs.NQ, lvs.FO, lvs.OVF, lvs.SH, lvs.DH, lvs.MH}

// Supported is c cut down to what this version carries out, with a problem
// for everything that was cut. It is the only place that knows these limits.
func Supported(c Config) (Config, Problems) {
	var ps Problems
	kept := make([]Service, 0, len(c.Services))
	for _, s := range c.Services {
		if supportedService(&s, &ps) {
			kept = append(kept, s)
		}
	}
	c.Services = kept
	return c, ps.Sorted()
}

// supportedService cuts s down and tells whether anything is left to run.
func supportedService(s *Service, ps *Problems) bool {
	switch {
	case s.Key.Mark != 0:
		ps.Warnf(s.Place, "firewall marks are not carried out yet; virtual service %s is left out", s.Key)
		return false
	case s.Key.Protocol == lvs.SCTP:
		ps.Warnf(s.Place, "SCTP is not carried out yet; virtual service %s is left out", s.Key)
		return false
	case s.Key.Addr.Port() == 0:
		ps.Warnf(s.Place, "services for every port need persistence, which is not carried out yet; virtual service %s is left out", s.Key)
		return false
	}
	if s.Persistence.Timeout != 0 {
		ps.Warnf(s.Place, "persistence is not carried out yet; virtual service %s runs without it", s.Key)
		s.Persistence = lvs.Persistence{}
	}
	if !slices.Contains(carriedOut, s.Scheduler) {
		ps.Warnf(s.Place, "scheduler %s is not carried out yet; wlc is used for virtual service %s", s.Scheduler, s.Key)
		s.Scheduler, s.SchedFlags = lvs.WLC, 0
	}
	if s.OnePacket {
		ps.Warnf(s.Place, "one-packet scheduling is not carried out yet; virtual service %s remembers its UDP flows", s.Key)
		s.OnePacket = false
	}
	return true
}
