package director

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func find(p *memory.Plane, k lvs.ServiceKey) (lvs.Service, error) {
	for s := range p.Installed(context.Background()) {
		if s.Key == k {
			return s, nil
		}
	}
	return lvs.Service{}, errors.New("not installed")
}

func TestEventsAreBounded(t *testing.T) {
	d := New(Options{})
	next := d.NextEvent()
	start := time.Unix(0, 0)
	for i := range 5000 {
		d.events.add(lvs.Event{At: start.Add(time.Duration(i)), Text: strconv.Itoa(i)})
		if n := len(d.Events(time.Time{})); n > remembered {
			t.Fatalf("%d events are kept", n)
		}
	}
	all := d.Events(time.Time{})
	if len(all) < remembered/2 || all[len(all)-1].Text != "4999" {
		t.Errorf("%d events, last %v", len(all), all[len(all)-1])
	}
	if got := d.Events(start.Add(4997)); len(got) != 2 || got[0].Text != "4998" {
		t.Errorf("since 4997: %v", got)
	}
	d.events.wake()
	select {
	case <-next:
	default:
		t.Error("nobody was woken")
	}
}

func TestWhatCannotBeReachedIsTold(t *testing.T) {
	d := New(Options{Log: slog.New(slog.DiscardHandler)})
	m := newMind(d)
	at := func(trouble string) lvs.Network {
		return lvs.Network{Paths: map[netip.Addr]lvs.Path{one.Addr(): {Trouble: trouble}}}
	}
	for _, n := range []lvs.Network{at(""), at(lvs.NoNeighbour), at(lvs.NoNeighbour), at(lvs.NoRoute), at(""), {}} {
		m.reach(n)
	}
	var told []string
	for _, e := range d.Events(time.Time{}) {
		told = append(told, e.Kind+" "+e.Text)
	}
	want := []string{"unreachable 10.0.0.1: " + lvs.NoNeighbour, "unreachable 10.0.0.1: " + lvs.NoRoute, "reachable 10.0.0.1 can be reached again"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
}
