package vrrp

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const second = time.Second

// hundred is a router of version 3 that hears nothing yet.
func hundred(s State) Router {
	return Router{State: s, Version: 3, Priority: 100, Interval: second, Preempt: true, Self: left, Heard: second}
}

func with(r Router, change func(*Router)) Router { change(&r); return r }

// The table is the RFC: section, state and event, state and actions.
func TestStep(t *testing.T) {
	const skew = 156 * second / 256
	const down = 3*second + skew
	higher := Hear{From: right, Priority: 101, Interval: second}
	lower := Hear{From: right, Priority: 99, Interval: second}
	same := Hear{From: right, Priority: 100, Interval: second} // right is the greater address
	bye := Hear{From: right, Priority: 0, Interval: second}
	v2 := func(r *Router) { r.Version = 2 }
	patient := func(r *Router) { r.Delay = 60 * second }
	for _, test := range []struct {
		name  string
		from  Router
		event Event
		to    State
		want  []Action
	}{
		{"6.4.1 startup", hundred(Initialize), Startup{}, Backup, []Action{Become{Backup}, Arm{down}}},
		{"6.4.1 startup of the owner", with(hundred(Initialize), func(r *Router) { r.Priority = Owner }), Startup{}, Active, []Action{Send{Owner}, Become{Active}, Arm{second}}},
		{"6.4.1 adverts are nothing to it", hundred(Initialize), higher, Initialize, nil},
		{"6.4.1 nor is the timer", hundred(Initialize), Expired{}, Initialize, nil},

		{"6.4.2 (360) shutdown", hundred(Backup), Shutdown{}, Initialize, []Action{Become{Initialize}}},
		{"6.4.2 (370) the timer", hundred(Backup), Expired{}, Active, []Action{Send{100}, Become{Active}, Arm{second}}},
		{"6.4.2 (425) priority 0", hundred(Backup), bye, Backup, []Action{Arm{skew}}},
		{"6.4.2 (440) higher", hundred(Backup), higher, Backup, []Action{Arm{down}}},
		{"6.4.2 (440) the same", hundred(Backup), same, Backup, []Action{Arm{down}}},
		{"6.4.2 (470) lower is not listened to", hundred(Backup), lower, Backup, nil},
		{"6.4.2 (440) lower without preemption", with(hundred(Backup), func(r *Router) { r.Preempt = false }), lower, Backup, []Action{Arm{down}}},
		{"the active one's interval counts", hundred(Backup), Hear{From: right, Priority: 200, Interval: 2 * second}, Backup, []Action{Arm{6*second + 2*skew}}},
		{"not in version 2", with(hundred(Backup), v2), Hear{From: right, Priority: 200, Interval: 2 * second}, Backup, []Action{Arm{down}}},
		{"version 2's skew is of a second", with(hundred(Backup), func(r *Router) { r.Version, r.Interval = 2, 2*second }), higher, Backup, []Action{Arm{6*second + skew}}},
		{"delay: lower begins it", with(hundred(Backup), patient), lower, Backup, []Action{ArmDelay{60 * second}, Arm{down}}},
		{"delay: once", with(hundred(Backup), func(r *Router) { patient(r); r.waited = running }), lower, Backup, []Action{Arm{down}}},
		{"delay: over", with(hundred(Backup), func(r *Router) { patient(r); r.waited = over }), lower, Backup, nil},
		{"yielded to one of lower priority", with(hundred(Backup), func(r *Router) { r.Yielded = true }), lower, Backup, []Action{Arm{down}}},
		{"yielded, and nobody is there", with(hundred(Backup), func(r *Router) { r.Yielded = true }), Expired{}, Active, []Action{Send{100}, Become{Active}, Arm{second}}},
		{"grouped: it asks", with(hundred(Backup), func(r *Router) { r.Grouped = true }), Expired{}, Backup, []Action{Arm{down}, Ask{}}},
		{"grouped: all want to", with(hundred(Backup), func(r *Router) { r.Grouped, r.Wants = true, true }), Take{}, Active, []Action{Send{100}, Become{Active}, Arm{second}}},

		{"6.4.3 (610) shutdown", hundred(Active), Shutdown{}, Initialize, []Action{Send{0}, Become{Initialize}}},
		{"6.4.3 (620) the timer", hundred(Active), Expired{}, Active, []Action{Send{100}, Arm{second}}},
		{"6.4.3 (710) priority 0", hundred(Active), bye, Active, []Action{Send{100}, Arm{second}}},
		{"6.4.3 (730) higher", hundred(Active), higher, Backup, []Action{Become{Backup}, Arm{down}}},
		{"6.4.3 (730) the same, of a greater address", hundred(Active), same, Backup, []Action{Become{Backup}, Arm{down}}},
		{"6.4.3 (775) the same, of a smaller one", with(hundred(Active), func(r *Router) { r.Self = right.Next() }), same, Active, []Action{Send{100}, Arm{second}}},
		{"6.4.3 (775) lower", hundred(Active), lower, Active, []Action{Send{100}, Arm{second}}},
		{"handing over", hundred(Active), Yield{}, Backup, []Action{Send{0}, Become{Backup}, Arm{down}}},
		{"its group goes", hundred(Active), Withdraw{}, Backup, []Action{Send{0}, Become{Backup}, Arm{down}}},
		{"a priority changes in silence", hundred(Active), Weigh{50}, Active, nil},
	} {
		got, actions := test.from.Step(test.event)
		if got.State != test.to || cmp.Diff(test.want, actions) != "" {
			t.Errorf("%s: %v, want %v\n%s", test.name, got.State, test.to, cmp.Diff(test.want, actions))
		}
	}
}

// What was waited for begins anew once a better router has been heard.
func TestDelayBeginsAnew(t *testing.T) {
	r := with(hundred(Backup), func(r *Router) { r.Delay = second; r.waited = over })
	r, _ = r.Step(Hear{From: right, Priority: 200, Interval: second})
	_, actions := r.Step(Hear{From: right, Priority: 50, Interval: second})
	if len(actions) != 2 || actions[0] != (ArmDelay{second}) {
		t.Errorf("%v", actions)
	}
}
