package api

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

// A crowded director has several services that have nothing in common.
type crowded struct{ fakeDirector }

var (
	empty  = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:81")}
	ruled  = lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("192.0.2.1:53")}
	marked = lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}
)

func (d *crowded) Snapshot() *lvs.Snapshot {
	s := d.fakeDirector.Snapshot()
	s.Installed = lvs.ServiceTable(s.Installed.At(web), lvs.Service{Key: empty, Scheduler: lvs.RR},
		lvs.Service{Key: ruled, Scheduler: lvs.SH, SchedFlags: 2, OnePacket: true, Destinations: []lvs.Destination{{Addr: two, Weight: 0}, {Addr: one, Weight: 3, Upper: 9}}},
		lvs.Service{Key: marked, Scheduler: lvs.MH, Destinations: []lvs.Destination{{Addr: one, Forward: lvs.Tunnel, Weight: 1}}})
	s.Orders = lvs.TableOf(map[lvs.ServiceKey]map[netip.AddrPort]lvs.Order{ruled: {two: {Since: then, Until: then.Add(time.Hour)}}, web: {two: {Weight: 5, Since: then}}})
	s.Health = s.Health.With(ruled, lvs.Healths{}.With(one, lvs.Health{Checked: true, Up: true}).
		With(two, lvs.Health{Checked: true, Up: true, Since: then.Add(time.Minute)}))
	return s
}

// A counting plane has counted something else for everybody.
type counting struct {
	*memory.Plane
	of func() *lvs.Snapshot
}

func (p counting) Totals(context.Context) (lvs.Totals, error) {
	t, n := lvs.Totals{Services: map[lvs.ServiceKey]lvs.ServiceCounters{}}, uint64(0)
	for s := range p.of().Installed.Values() {
		n++
		c := lvs.ServiceCounters{Counters: lvs.Counters{Connections: 1000 * n}}
		for _, d := range s.Destinations {
			n++
			c.Destinations = append(c.Destinations, lvs.DestinationCount{Addr: d.Addr,
				DestinationCounters: lvs.DestinationCounters{Active: uint32(n), Rates: lvs.Rates{OutBytes: 2 * n}}})
		}
		t.Services[s.Key] = c
	}
	return t, nil
}

func (p counting) Reading(ctx context.Context) (lvs.Reading, error) { return p.Totals(ctx) }

func (p counting) Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	t, err := p.Totals(ctx)
	return t.Services[k], err
}

// TestListedAsAlone: a list is made in the memory of one service; each must be
// told as it is when it is asked for alone.
func TestListedAsAlone(t *testing.T) {
	d := &crowded{}
	o := options()
	o.Director, o.Observer = d, counting{memory.New(), d.Snapshot}
	c, _ := serve(t, o)
	all, err := c.Services(t.Context())
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	told := map[string]string{}
	for _, s := range all {
		k, err := lvs.ParseServiceKey(s.Service)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for alone, err := range c.Matching(t.Context(), k) {
			if err != nil || !reflect.DeepEqual(*alone, s) {
				t.Errorf("listed %+v\nalone %+v, %v", s, alone, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d services %s", n, s.Service)
		}
		if s.Counters.Connections == 0 {
			t.Errorf("%s has counted nothing", s.Service)
		}
		for _, d := range s.Destinations {
			told[s.Service+" "+d.Destination] = tell(d)
		}
	}
	for at, want := range map[string]string{
		"-t 192.0.2.1:80 127.0.0.1:80": "gate installed=true fallback",
		"-t 192.0.2.1:80 10.0.0.1:80":  "masq installed=true down since 0",
		"-t 192.0.2.1:80 10.0.0.2:80":  " installed=false unchecked ordered 5 at 0",
		"-u 192.0.2.1:53 10.0.0.2:80":  "masq installed=true up since 60 ordered 0 at 0 until 3600",
		"-u 192.0.2.1:53 10.0.0.1:80":  "masq installed=true up",
		"-f 7 10.0.0.1:80":             "ipip installed=true fallback",
	} {
		if told[at] != want {
			t.Errorf("%s: %q, want %q", at, told[at], want)
		}
		delete(told, at)
	}
	if len(told) > 0 {
		t.Errorf("more than there is: %v", told)
	}
}

// tell says how a real server is, with seconds from then on.
func tell(d client.Destination) string {
	after := func(at time.Time) int { return int(at.Sub(then).Seconds()) }
	text := fmt.Sprintf("%s installed=%v %s", d.Forward, d.Installed, d.Health)
	if d.Since != nil {
		text += fmt.Sprintf(" since %d", after(*d.Since))
	}
	if d.Order != nil {
		text += fmt.Sprintf(" ordered %d at %d", d.Order.Weight, after(d.Order.Since))
		if d.Order.Until != nil {
			text += fmt.Sprintf(" until %d", after(*d.Order.Until))
		}
	}
	return text
}
