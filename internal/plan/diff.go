package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Step changes one virtual service as a whole, the unit a data plane
// changes at once.
type Step struct {
	Drop    bool
	Service lvs.Service // what is to stand; of a drop, what stood
	was     lvs.Service
	fresh   bool
}

// Diff lists the steps from have to want: first what is new or changed, then
// what is gone, because packets flow in between. Among services, the specific
// comes before the general when adding, and goes after it when removing, so
// that no packet of the one ever falls to the other. Destinations get the
// places Order gives them; Diff(x, x) is empty.
func Diff(have, want []lvs.Service) []Step {
	steps := make([]Step, 0, max(0, len(want)-len(have))) // what is new, at least
	wanted := make(map[lvs.ServiceKey]bool, len(want))
	standing := byKey(have)
	for _, w := range want {
		wanted[w.Key] = true
		h, ok := standing[w.Key]
		if !ok {
			steps = append(steps, Step{Service: w, fresh: true})
			continue
		}
		w.Destinations = Order(h.Destinations, w.Destinations)
		if !w.Equal(h) {
			steps = append(steps, Step{Service: w, was: h})
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return general(a.Service.Key, b.Service.Key) })
	n := len(steps)
	for _, h := range have {
		if !wanted[h.Key] {
			steps = append(steps, Step{Drop: true, Service: h})
		}
	}
	slices.SortStableFunc(steps[n:], func(a, b Step) int { return general(b.Service.Key, a.Service.Key) })
	return steps
}

func byKey(ss []lvs.Service) map[lvs.ServiceKey]lvs.Service {
	out := make(map[lvs.ServiceKey]lvs.Service, len(ss))
	for _, s := range ss {
		out[s.Key] = s
	}
	return out
}

// general compares keys by how much they catch: one port of an address, then
// all its ports, then a firewall mark.
func general(a, b lvs.ServiceKey) int {
	rank := func(k lvs.ServiceKey) int {
		switch {
		case k.Mark != 0:
			return 2
		case k.Addr.Port() == 0:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Compare(b))
}

// Lines is the step as the ipvsadm commands that would do the same, in the
// order they would have to be typed.
func (s Step) Lines() []string {
	if s.Drop {
		return []string{"-D " + s.Service.Key.String()}
	}
	if s.fresh {
		return s.Service.Lines()
	}
	var lines []string
	head := s.Service
	head.Destinations = s.was.Destinations
	if !head.Equal(s.was) {
		lines = append(lines, "-E"+strings.TrimPrefix(head.String(), "-A"))
	}
	return append(lines, s.destinationLines()...)
}

func (s Step) destinationLines() []string {
	var added, changed, gone []string
	for _, d := range slices.Backward(s.Service.Destinations) {
		old, ok := s.was.Destination(d.Addr)
		switch {
		case !ok:
			added = append(added, fmt.Sprintf("-a %s %s", s.Service.Key, d))
		case old != d:
			changed = append(changed, fmt.Sprintf("-e %s %s", s.Service.Key, d))
		}
	}
	for _, d := range slices.Backward(s.was.Destinations) {
		if _, ok := s.Service.Destination(d.Addr); !ok {
			gone = append(gone, fmt.Sprintf("-d %s -r %s", s.Service.Key, d.Addr))
		}
	}
	return slices.Concat(added, changed, gone)
}

// String is Lines on one line each.
func (s Step) String() string { return strings.Join(s.Lines(), "\n") }
