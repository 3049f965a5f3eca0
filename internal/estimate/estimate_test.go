package estimate

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

var (
	sip = lvs.ServiceKey{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("10.0.0.10:1500")}
	rs  = netip.MustParseAddrPort("10.0.1.52:53")
)

// A counter is a data plane with one service and one destination, or a list.
type counter struct {
	mu   sync.Mutex
	n    lvs.Counters
	list []lvs.DestinationCount
	gone bool
}

func (c *counter) Totals(context.Context) (lvs.Totals, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := lvs.Totals{Services: map[lvs.ServiceKey]lvs.ServiceCounters{}}
	list := slices.Clone(c.list)
	if c.list == nil {
		list = []lvs.DestinationCount{{Addr: rs, DestinationCounters: lvs.DestinationCounters{Counters: c.n}}}
	}
	if !c.gone {
		t.Services[sip] = lvs.ServiceCounters{Counters: c.n, Destinations: list}
	}
	return t, nil
}

func (c *counter) Reading(ctx context.Context) (lvs.Reading, error) { return c.Totals(ctx) }

func (c *counter) Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	t, _ := c.Totals(ctx)
	s, ok := t.Services[k]
	if !ok {
		return s, lvs.ErrNoService
	}
	return s, nil
}

func (c *counter) Use(context.Context) (lvs.ConnectionUse, error) { return lvs.ConnectionUse{}, nil }

func (c *counter) Connections(context.Context, lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error] {
	return nil
}

func totals(t *testing.T, e *Estimator) (lvs.ServiceCounters, lvs.Totals) {
	t.Helper()
	all, err := e.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all.Services[sip], all
}

// The kernel, after 100 datagrams of 100 bytes in one burst, shows these
// rates: transcript 52 of the reference, every two seconds.
func TestRatesAreTheKernels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		e := New(c)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		c.mu.Lock()
		c.n = lvs.Counters{Connections: 100, InPackets: 100, InBytes: 10000}
		c.mu.Unlock()
		var cps, bps []uint64
		for range 5 {
			time.Sleep(interval)
			synctest.Wait()
			s, all := totals(t, e)
			cps, bps = append(cps, s.Rates.Connections), append(bps, s.Rates.InBytes)
			if all.AllRates != s.Rates || s.Of(0, rs).Rates != s.Rates {
				t.Errorf("rates differ: %v %v", all.AllRates, s)
			}
			same(t, e, s)
		}
		stop()
		<-done
		for i, want := range []struct{ c, b uint64 }{{12, 1250}, {9, 937}, {7, 703}, {5, 527}, {4, 395}} {
			if cps[i] != want.c || bps[i] != want.b {
				t.Errorf("sample %d: %d %d, the kernel shows %d %d", i, cps[i], bps[i], want.c, want.b)
			}
		}
	})
}

func TestZero(t *testing.T) {
	c := &counter{n: lvs.Counters{Connections: 3, InPackets: 30, InBytes: 300}}
	e := New(c)
	e.sample(must(c))
	if _, all := totals(t, e); all.All.Connections != 3 {
		t.Errorf("what was counted before is missing: %v", all.All)
	}
	other := lvs.ServiceKey{Mark: 1}
	if err := e.Zero(t.Context(), &other); !errors.Is(err, lvs.ErrNoService) {
		t.Errorf("no service: %v", err)
	}
	if err := e.Zero(t.Context(), &sip); err != nil {
		t.Fatal(err)
	}
	c.n.Connections = 5
	if s, all := totals(t, e); s.Connections != 2 || s.Of(0, rs).Connections != 2 || s.InBytes != 0 || all.All.Connections != 3 {
		t.Errorf("one zeroed: %v, %v", s, all.All)
	} else {
		same(t, e, s)
	}
	e.sample(must(c))
	if err := e.Zero(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s, all := totals(t, e); s.Counters != (lvs.Counters{}) || all.All != (lvs.Counters{}) || s.Rates != (lvs.Rates{}) {
		t.Errorf("all zeroed: %v, %v", s, all.All)
	}
	// Deleted and made again, it counts from zero; the sum goes on.
	c.gone = true
	e.sample(must(c))
	c.gone, c.n = false, lvs.Counters{Connections: 1}
	e.sample(must(c))
	if s, all := totals(t, e); s.Connections != 1 || all.All.Connections != 1 {
		t.Errorf("made again: %v, %v", s, all.All)
	}
}

// TestGaugesFollowTheirDestinations: rates and zeroes are an address's, where
// ever it stands in the list.
func TestGaugesFollowTheirDestinations(t *testing.T) {
	list := func(places ...int) (ds []lvs.DestinationCount) {
		for _, n := range places {
			ds = append(ds, lvs.DestinationCount{Addr: netip.AddrPortFrom(rs.Addr(), uint16(n)),
				DestinationCounters: lvs.DestinationCounters{Counters: lvs.Counters{Connections: uint64(100 * n)}}})
		}
		return ds
	}
	c := &counter{list: []lvs.DestinationCount{}}
	e := New(c)
	e.sample(must(c))
	c.list = list(1, 2)
	e.sample(must(c))
	if err := e.Zero(t.Context(), &sip); err != nil {
		t.Fatal(err)
	}
	for _, now := range [][]lvs.DestinationCount{list(2, 1), list(3, 2, 1), list(1, 3)} {
		c.list = now
		for range 2 { // before and after a sample in this order
			s, _ := totals(t, e)
			same(t, e, s)
			for _, d := range s.Destinations {
				if isNew := d.Addr.Port() == 3; isNew != (d.Connections == 300) || !isNew && (d.Counters != lvs.Counters{} || d.Rates != lvs.Rates{}) {
					t.Errorf("%v: %+v", now, d)
				}
			}
			e.sample(must(c))
		}
	}
	c.list = list(2)
	if s, _ := totals(t, e); s.Destinations[0].Connections != 200 {
		t.Errorf("one that came back: %+v, want all it counts", s.Destinations)
	}
	same(t, e, lvs.ServiceCounters{Destinations: list(2)})
}

// same asks that the service alone, and in a reading, is told as among all.
func same(t *testing.T, e *Estimator, among lvs.ServiceCounters) {
	t.Helper()
	one, err := e.Count(t.Context(), sip)
	if err != nil || one.Counters != among.Counters || one.Rates != among.Rates || !slices.Equal(one.Destinations, among.Destinations) {
		t.Errorf("alone %+v, %v; among all %+v", one, err, among)
	}
	r, err := e.Reading(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // asking for it changes nothing
		read, ok := r.Of(sip)
		if !ok || read.Counters != among.Counters || read.Rates != among.Rates || !slices.Equal(read.Destinations, among.Destinations) {
			t.Errorf("read %+v, %t; among all %+v", read, ok, among)
		}
	}
	for k, read := range r.Each() {
		if k != sip || read.Counters != among.Counters || !slices.Equal(read.Destinations, among.Destinations) {
			t.Errorf("read with the others %v %+v; among all %+v", k, read, among)
		}
	}
}

func must(c *counter) lvs.Totals {
	t, _ := c.Totals(context.Background())
	return t
}
