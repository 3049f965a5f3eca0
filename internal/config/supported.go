package config

import (
	"github.com/weir-lb/weir/internal/lvs"
)

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
	if s.Key.Protocol == lvs.SCTP {
		ps.Warnf(s.Place, "SCTP is not carried out yet; virtual service %s is left out", s.Key)
		return false
	}
	return true
}
