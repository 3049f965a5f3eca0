package health

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// A subject is what a verdict is about: one destination of one service.
type subject struct {
	service     lvs.ServiceKey
	destination netip.AddrPort
}

// A question is everything an answer depends on. Targets with the same
// question share its answers: a real server that stands in ten services is
// asked once and judged ten times, as ldirectord does.
type question struct {
	check lvs.Check
	addr  netip.AddrPort
	udp   bool    // a connect check becomes a ping
	about subject // only of an external check, which is told whom it is about
}

func questionOf(t lvs.Target) question {
	q := question{check: t.Check, addr: address(t)}
	// How many answers change a mind is the judge's affair.
	q.check.Fall, q.check.Rise, q.check.Port = 0, 0, 0
	switch t.Check.Kind {
	case lvs.CheckConnect:
		q.udp = t.Service.Protocol == lvs.UDP
	case lvs.CheckExternal:
		q.about = subject{t.Service, t.Destination}
	}
	return q
}
