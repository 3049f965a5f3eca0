package demo

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// An event is one of weir's.
type event struct{ lvs.Event }

// changedNothing tells of a configuration that was applied without a step.
func (e event) changedNothing() bool {
	return e.Kind == "configuration" && strings.HasSuffix(e.Text, ", 0 changes")
}

// about tells whether the event is of this kind and about real server i of v;
// -1: about the service.
func (e event) about(kind string, v service, i int) bool {
	return e.Kind == kind && e.Service == v.key() && (i < 0 || e.Destination == v.realAddr(i).String())
}

// happened waits for an event and returns when it was told. weir tells after
// it has changed its table.
func (s *stage) happened(ctx context.Context, since time.Time, kind string, v service, i int) (time.Time, error) {
	const most = 10 * time.Second
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		es, err := s.ask.Events(limited, since, most)
		now := time.Now()
		if limited.Err() != nil && ctx.Err() == nil {
			return now, fmt.Errorf("no event %s within %v", kind, most)
		}
		if err != nil {
			return now, err
		}
		for _, e := range es {
			if (event{e}).about(kind, v, i) {
				return now, nil
			}
			since = e.At
		}
	}
}

// count counts the events since a moment that are as wanted.
func (s *stage) count(ctx context.Context, since time.Time, wanted func(event) bool) (n int, err error) {
	es, err := s.ask.Events(ctx, since, 0)
	for _, e := range es {
		if wanted(event{e}) {
			n++
		}
	}
	return n, err
}

// table is weir's table as text, without what counts up by itself.
func (s *stage) table(ctx context.Context) (lines []string, err error) {
	all, err := s.ask.Services(ctx)
	for _, v := range all {
		lines = append(lines, fmt.Sprint(v.Service, v.Scheduler, v.Fallback))
		for _, d := range v.Destinations {
			lines = append(lines, fmt.Sprint(v.Service, d.Destination, d.Forward, d.Weight, d.Installed, d.Health))
		}
	}
	return lines, err
}

// client is the address the connection comes from.
func (c *conversation) client() string {
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return ""
	}
	return host
}

// destination is where the named server answers for v.
func (v service) destination(name string) string {
	for i := range reals {
		if realName(i) == name {
			return v.realAddr(i).String()
		}
	}
	return ""
}
