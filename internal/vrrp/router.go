package vrrp

import (
	"net/netip"
	"time"
)

// A State is one of the three of RFC 9568, section 6.3.
type State uint8

// The states.
const (
	Initialize State = iota
	Backup
	Active
)

func (s State) String() string { return [...]string{"init", "backup", "active"}[s] }

// Owner is the priority of the router whose own the addresses are.
const Owner = 255

// A Router is one virtual router as this director sees it: a value, not a thing
// with goroutines.
type Router struct {
	State    State
	Version  uint8
	Priority uint8         // as advertised, 1 to 255
	Interval time.Duration // between our adverts
	Preempt  bool
	Delay    time.Duration // how long an active router of lower priority is let be
	Self     netip.Addr    // source of our adverts, which breaks ties
	Grouped  bool          // it becomes active together with others only

	Heard time.Duration // the active router's interval, learned from it (version 3)
	Wants bool          // it would be active but for its group
	// Yielded: told to give up. It lets anybody be active, of whatever
	// priority, until nobody is.
	Yielded bool

	waited waiting // for the delay
}

// A waiting is how far the delay before a preemption is.
type waiting uint8

const (
	notBegun waiting = iota
	running
	over
)

// An Event is something that happens to a router.
type Event interface{ event() }

// The events.
type (
	Startup   struct{} // its interface is up and has an address
	Shutdown  struct{} // it ends, or its interface is gone
	Expired   struct{} // what Arm asked for
	DelayOver struct{} // what ArmDelay asked for
	Take      struct{} // its whole group wants it
	Yield     struct{} // somebody else is to be active
	Withdraw  struct{} // another one of its group has become backup
	Weigh     struct{ Priority uint8 }
	Hear      struct {
		From     netip.Addr
		Priority uint8
		Interval time.Duration
	}
)

func (Startup) event()   {}
func (Shutdown) event()  {}
func (Expired) event()   {}
func (DelayOver) event() {}
func (Take) event()      {}
func (Yield) event()     {}
func (Withdraw) event()  {}
func (Weigh) event()     {}
func (Hear) event()      {}

// An Action is something a router wants done.
type Action interface{ action() }

// The actions, to be done in their order.
type (
	Send     struct{ Priority uint8 } // an advert
	Arm      struct{ After time.Duration }
	ArmDelay struct{ After time.Duration }
	Become   struct{ State State }
	Ask      struct{} // the group whether all of it wants to be active
)

func (Send) action()     {}
func (Arm) action()      {}
func (ArmDelay) action() {}
func (Become) action()   {}
func (Ask) action()      {}

// Step is the whole protocol: RFC 9568, section 6.4, and RFC 3768's where the
// version is 2.
func (r Router) Step(e Event) (Router, []Action) {
	if w, ok := e.(Weigh); ok {
		// What has changed shows in the next advert, and in whose adverts
		// count (keepalived does the same).
		r.Priority = w.Priority
		return r, nil
	}
	switch r.State {
	case Backup:
		return r.backup(e)
	case Active:
		return r.active(e)
	}
	return r.initialize(e)
}

// initialize is section 6.4.1.
func (r Router) initialize(e Event) (Router, []Action) {
	if _, ok := e.(Startup); !ok {
		return r, nil
	}
	r.Heard, r.waited, r.Wants, r.Yielded = r.Interval, notBegun, false, false
	if r.Priority == Owner && !r.Grouped {
		return r.become()
	}
	r.State = Backup
	return r, []Action{Become{Backup}, Arm{r.down()}}
}

// backup is section 6.4.2.
func (r Router) backup(e Event) (Router, []Action) {
	switch e := e.(type) {
	case Shutdown:
		r.State, r.Wants = Initialize, false
		return r, []Action{Become{Initialize}}
	case Expired:
		if r.Grouped {
			r.Wants = true
			return r, []Action{Arm{r.down()}, Ask{}}
		}
		return r.become()
	case Take:
		return r.become()
	case DelayOver:
		if r.waited == running {
			r.waited = over
		}
	case Hear:
		return r.hearAsBackup(e)
	}
	return r, nil
}

func (r Router) hearAsBackup(e Hear) (Router, []Action) {
	if e.Priority == 0 {
		// Whoever yields has seen to it that somebody else is there: that one's
		// word is worth as long a wait as its silence.
		r.Wants = false
		return r, []Action{Arm{r.skew()}}
	}
	lower := e.Priority < r.Priority
	var actions []Action
	if lower && r.Preempt && !r.Yielded {
		if r.Delay > 0 && r.waited == notBegun {
			r.waited = running
			actions = append(actions, ArmDelay{r.Delay})
		}
		if r.Delay == 0 || r.waited == over {
			return r, nil // not listened to: the timer runs out
		}
	}
	if !lower {
		r.waited = notBegun
	}
	r.Wants, r.Heard = false, e.Interval
	return r, append(actions, Arm{r.down()})
}

// active is section 6.4.3.
func (r Router) active(e Event) (Router, []Action) {
	switch e := e.(type) {
	case Shutdown:
		r.State = Initialize
		return r, []Action{Send{0}, Become{Initialize}}
	case Expired:
		return r, []Action{Send{r.Priority}, Arm{r.Interval}}
	case Yield:
		r, actions := r.giveUp()
		r.Yielded = true
		return r, append([]Action{Send{0}}, actions...)
	case Withdraw:
		r, actions := r.giveUp()
		return r, append([]Action{Send{0}}, actions...)
	case Hear:
		switch {
		case e.Priority == 0:
			return r, []Action{Send{r.Priority}, Arm{r.Interval}}
		case e.Priority > r.Priority, e.Priority == r.Priority && r.Self.Less(e.From):
			r.Heard = e.Interval
			return r.giveUp()
		}
		// It is told at once that somebody better is here (keepalived does so,
		// RFC 9568 lets it wait for the next advert).
		return r, []Action{Send{r.Priority}, Arm{r.Interval}}
	}
	return r, nil
}

// become is the way into Active: the advert first, so that a peer that is about
// to do the same does not.
func (r Router) become() (Router, []Action) {
	r.State, r.Wants, r.Yielded, r.waited = Active, false, false, notBegun
	return r, []Action{Send{r.Priority}, Become{Active}, Arm{r.Interval}}
}

func (r Router) giveUp() (Router, []Action) {
	r.State, r.waited = Backup, notBegun
	return r, []Action{Become{Backup}, Arm{r.down()}}
}

// lost is how many adverts in a row must be missed.
const lost = 3

// down is Active_Down_Interval.
func (r Router) down() time.Duration { return lost*r.pace() + r.skew() }

// skew is Skew_Time: the higher the priority, the sooner.
func (r Router) skew() time.Duration {
	if r.Version == 2 {
		return time.Duration(256-int(r.Priority)) * time.Second / 256
	}
	return time.Duration(256-int(r.Priority)) * r.pace() / 256
}

// pace is the interval of the adverts that are waited for.
func (r Router) pace() time.Duration {
	if r.Version == 2 || r.Heard <= 0 {
		return r.Interval
	}
	return r.Heard
}
