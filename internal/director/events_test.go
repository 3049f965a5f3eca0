package director

import (
	"context"
	"errors"
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
