// Package announce tells the neighbours of an address where it is now:
// gratuitous ARP and unsolicited neighbour advertisements, in bursts, since
// nobody acknowledges them.
//
// It never adds or removes an address, and does not know why one has come.
package announce

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Place is an address on an interface, and how often it is told.
type Place struct {
	Addr  netip.Addr
	Link  string
	MAC   string // of the interface, as net.HardwareAddr prints it; another one is news, too
	Often lvs.Announcement
}

// Sender sends a whole Ethernet frame out of an interface.
type Sender func(link string, frame []byte) error

// An Announcer announces addresses in the background.
type Announcer struct {
	send  Sender
	log   *slog.Logger
	inbox chan []Place
}

// New is an announcer that announces nothing yet.
func New(send Sender, log *slog.Logger) *Announcer {
	return &Announcer{send: send, log: log, inbox: make(chan []Place, 1)}
}

// String is the task's name.
func (a *Announcer) String() string { return "announcer" }

// Set is where addresses are, all of them each time: a new one is announced,
// one that is missing no longer is. It does not wait; only one goroutine may
// call it.
func (a *Announcer) Set(places []Place) {
	select {
	case <-a.inbox: // not seen yet, and stale now
	default:
	}
	a.inbox <- places
}

// A round is what is still to be told about a place.
type round struct {
	next   time.Time // zero: nothing
	second bool      // the second burst is due, or over
}

// Run announces until ctx ends.
func (a *Announcer) Run(ctx context.Context) error {
	rounds := map[Place]*round{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case places := <-a.inbox:
			rounds = renew(rounds, places, time.Now())
		case <-timer.C:
		}
		now := time.Now()
		wake := now.Add(time.Hour)
		for p, r := range rounds {
			if !r.next.IsZero() && !now.Before(r.next) {
				a.burst(p)
				r.after(p.Often, now)
			}
			if !r.next.IsZero() && r.next.Before(wake) {
				wake = r.next
			}
		}
		timer.Reset(max(time.Until(wake), 0))
	}
}

// renew keeps the rounds of places that stay.
func renew(rounds map[Place]*round, places []Place, now time.Time) map[Place]*round {
	out := make(map[Place]*round, len(places))
	for _, p := range places {
		if r := rounds[p]; r != nil {
			out[p] = r
		} else {
			out[p] = &round{next: now}
		}
	}
	return out
}

// after is when the next burst is due.
func (r *round) after(often lvs.Announcement, now time.Time) {
	switch {
	case !r.second && often.Delay > 0:
		r.second, r.next = true, now.Add(often.Delay)
	case often.Refresh > 0:
		r.second, r.next = true, now.Add(often.Refresh)
	default:
		r.next = time.Time{}
	}
}

func (a *Announcer) burst(p Place) {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil || len(mac) != 6 {
		return // an interface without neighbours of that kind
	}
	frame := gratuitous(mac, p.Addr)
	if p.Addr.Is6() {
		frame = unsolicited(mac, p.Addr)
	}
	for range max(p.Often.Repeat, 1) {
		if err := a.send(p.Link, frame); err != nil {
			a.log.Warn("address not announced", "address", p.Addr, "interface", p.Link, "error", err)
			return
		}
	}
}
