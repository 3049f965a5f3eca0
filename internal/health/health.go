// Package health asks real servers whether they are well, and says when it
// changes its mind about one.
//
// It never knows what its answers are for: no services to change, no weights,
// no configuration. It is handed targets and hands back verdicts.
package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Checker asks one question once. Nil means a good answer; any other answer
// is a *Failure. It gives up when ctx does, or after the time its check
// allows, and keeps nothing between calls.
type Checker interface {
	Check(ctx context.Context, target netip.AddrPort) error
	String() string
}

// New makes the checker for a target. An error says what is wrong with the
// check itself; a check of kind on or off asks nothing and has no checker.
func New(t lvs.Target) (Checker, error) {
	c := t.Check
	if c.Timeout <= 0 {
		return nil, fmt.Errorf("%s check without a timeout; give it one", c.Kind)
	}
	switch c.Kind {
	case lvs.CheckConnect:
		if t.Service.Protocol == lvs.UDP {
			// A datagram that is not answered says nothing, so the
			// host is asked instead, as ldirectord does.
			return newPing(c), nil
		}
		return connect{c.Timeout}, nil
	case lvs.CheckHTTP, lvs.CheckHTTPS:
		return newHTTP(c)
	case lvs.CheckSimple:
		return newSimple(c)
	case lvs.CheckPing:
		return newPing(c), nil
	case lvs.CheckExternal:
		return newExternal(t)
	case lvs.CheckOn, lvs.CheckOff:
		return nil, fmt.Errorf("a check of kind %s asks nothing", c.Kind)
	}
	return nil, fmt.Errorf("unknown kind of check %q", c.Kind)
}

// address is whom a target's check speaks to: the check's own port, else the
// destination's, else the service's.
func address(t lvs.Target) netip.AddrPort {
	port := t.Check.Port
	if port == 0 {
		port = t.Destination.Port()
	}
	if port == 0 {
		port = t.Service.Addr.Port()
	}
	return netip.AddrPortFrom(t.Destination.Addr(), port)
}

// within asks with a time limit, and puts what went wrong into the operator's
// words. A check that was called off keeps the context's error.
func within(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := ask(limited)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		return failure
	}
	return explain(err, limit)
}
