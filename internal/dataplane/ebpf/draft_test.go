package ebpf

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/lvs"
)

var errInjected = errors.New("injected")

// TestNothingLeaks: whichever write of a change fails, nothing is lost of what
// can be given out, the service in the maps is the old one or the new one, and
// the same change succeeds afterwards.
func TestNothingLeaks(t *testing.T) {
	r := newRig(t)
	dice := rand.New(rand.NewPCG(9, 10))
	p := r.plane
	undone, kept, steps := 0, 0, 400
	if testing.Short() {
		steps = 40
	}
	for step := range steps {
		k := randomKey(dice)
		for step < steps/2 && k.Mark != 0 { // what any address may be for fills the filter
			k = randomKey(dice)
		}
		s, writes := scattered(dice, k), 14
		if step%16 == 0 {
			s = longService(k, 60+dice.IntN(40))
			writes = 2*len(s.Destinations) + 10
		}
		drops := dice.IntN(5) == 0
		change := func() error {
			if drops {
				return p.Drop(t.Context(), k)
			}
			return p.Put(t.Context(), s)
		}
		for _, d := range p.table.gone.all() {
			if dice.IntN(2) == 0 {
				d.gone = d.gone.Add(-2 * time.Minute)
			}
		}
		labtest.Must(t, p.forget())
		before, old, orphans := standing(t, p), wished(p), len(p.table.orphans[k])
		at := dice.IntN(writes)
		p.fault = func(string) error {
			if at--; at == -1 {
				return errInjected
			}
			return nil
		}
		err := change()
		p.fault = nil
		if (err != nil) != (at < 0) {
			t.Fatalf("step %d: %v, though a write was refused: %v", step, err, at < 0)
		}
		want := fmt.Sprintf("step %d, %s (%v)", step, s, err)
		labtest.Must(t, p.forget()) // what could not be settled is now
		tight(t, p, want)
		now := standing(t, p)
		if err != nil && slices.Equal(wished(p), old) {
			undone++
			if !slices.Equal(now, before) || len(p.table.orphans[k]) != orphans {
				t.Fatalf("%s: packets see\n%q\nand saw\n%q; of %d orphans there are %d", want, now, before, orphans, len(p.table.orphans[k]))
			}
		} else if err != nil {
			kept++
		}
		if got := wished(p); !slices.Equal(got, now) {
			t.Fatalf("%s: packets see\n%q\nand the book says\n%q", want, now, got)
		}
		labtest.Must(t, change())
		tight(t, p, want+", again")
	}
	if undone < steps/8 || kept < steps/80 {
		t.Errorf("%d changes were taken back and %d were made in spite of an error; the test shows little", undone, kept)
	}
}

// TestNothingLeaksThoughNothingIsWritten: also what is taken back cannot be
// written, from the failure on.
func TestNothingLeaksThoughNothingIsWritten(t *testing.T) {
	r := newRig(t)
	dice := rand.New(rand.NewPCG(11, 12))
	p := r.plane
	for step := range 200 {
		s := randomService(dice, randomKey(dice))
		left := dice.IntN(14)
		p.fault = func(string) error {
			if left--; left < 0 {
				return errInjected
			}
			return nil
		}
		_ = p.Put(t.Context(), s) // fails, mostly
		p.fault = nil
		if p.unsettled {
			labtest.Must(t, p.forget())
		}
		tight(t, p, fmt.Sprintf("step %d, %s", step, s))
		if dice.IntN(3) == 0 {
			labtest.Must(t, p.Drop(t.Context(), s.Key))
		}
	}
}

// TestNothingLeaksWhenFull: a service with more destinations than there is room
// for takes none of it.
func TestNothingLeaksWhenFull(t *testing.T) {
	r := newRig(t)
	p := r.plane
	room := int(p.engine.maps["dests"].MaxEntries()) - 1
	r.put(longService(mailKey(25), 3))
	for range 3 {
		if err := p.Put(t.Context(), longService(mailKey(80), room-2)); !errors.Is(err, dataplane.ErrFull) {
			t.Fatalf("%d destinations in %d places: %v", room, room-3, err)
		}
		tight(t, p, "full")
	}
	r.put(longService(mailKey(80), room-3))
	tight(t, p, "filled")
}

// TestOrphansOfANewServiceThatFails: what is left of a service that was dropped
// is known still, to be counted from zero by the next one.
func TestOrphansOfANewServiceThatFails(t *testing.T) {
	r := newRig(t)
	p, s := r.plane, longService(mailKey(25), 3)
	r.put(s)
	labtest.Must(t, p.Drop(t.Context(), s.Key))
	p.fault = func(name string) error {
		if name == "service_ids" {
			return errInjected
		}
		return nil
	}
	if err := p.Put(t.Context(), s); !errors.Is(err, errInjected) || len(p.table.orphans[s.Key]) != 3 {
		t.Errorf("%d orphans, %v", len(p.table.orphans[s.Key]), err)
	}
	p.fault = nil
	r.put(s)
}

// TestWhatAKilledWeirBegan: a destination that was written for a service that
// never came is forgotten by the next weir.
func TestWhatAKilledWeirBegan(t *testing.T) {
	r := newRig(t)
	d, err := r.plane.begin(nil, longService(mailKey(25), 3))
	labtest.Must(t, err)
	labtest.Must(t, r.plane.prepare(d))
	next := newRigOver(t, false).plane
	labtest.Must(t, next.restore())
	gone := len(maps.Collect(next.table.gone.all()))
	if gone != 3 || next.table.dests.len() != 3 {
		t.Errorf("%d of 3 destinations are gone", gone)
	}
	tight(t, next, "restored")
}

// scattered is a service whose destinations hardly any other has.
func scattered(dice *rand.Rand, k lvs.ServiceKey) lvs.Service {
	s := randomService(dice, k)
	for i, d := range s.Destinations {
		a := d.Addr.Addr().As16()
		a[14] = byte(dice.IntN(200))
		s.Destinations[i].Addr = netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), d.Addr.Port())
	}
	return s
}

func mailKey(port uint16) lvs.ServiceKey {
	return lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 9}), port)}
}

// longService has so many destinations that the engine groups them.
func longService(k lvs.ServiceKey, n int) lvs.Service {
	s := lvs.Service{Key: k, Scheduler: lvs.WLC}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		if k.AF() == lvs.IPv6 {
			a = netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})
		}
		s.Destinations = append(s.Destinations, lvs.Destination{Addr: netip.AddrPortFrom(a, k.Addr.Port()), Forward: lvs.DirectRoute, Weight: 1})
	}
	return s
}

// wished is the table as Go believes it stands.
func wished(p *Plane) (lines []string) {
	for s := range p.table.services.Values() {
		lines = append(lines, fmt.Sprint(s.svc.Lines()))
	}
	slices.Sort(lines)
	return lines
}

// standing is the table as packets find it in the maps.
func standing(t *testing.T, p *Plane) (lines []string) {
	t.Helper()
	dests, err := p.readDests()
	labtest.Must(t, err)
	var key engineServiceKey
	var id uint32
	it := p.engine.maps["service_ids"].Iterate()
	for it.Next(&key, &id) {
		e, err := p.readService(lvsKey(key), id, dests)
		labtest.Must(t, err)
		lines = append(lines, fmt.Sprint(e.svc.Lines()))
	}
	labtest.Must(t, it.Err())
	slices.Sort(lines)
	return lines
}

// tight fails if something that can be given out is neither free nor in use.
func tight(t *testing.T, p *Plane, when string) {
	t.Helper()
	tb, lent, slots := &p.table, 0, uint32(0)
	listed, groups := map[*dest]bool{}, map[uint32]uint32{}
	labtest.Must(t, scan(p.engine.maps["memberships"], func(id uint32, m *engineMembership) bool {
		groups[id] = m.Group
		return id < tb.destIDs.next
	}))
	for _, e := range tb.services.All() {
		if e.set/2 != e.id {
			lent++
		}
		slots += e.slots.count
		for i, d := range e.dests {
			listed[d] = true
			group := uint32(0)
			if len(e.dests) > grouped && comparesCounts(e.svc.Scheduler) {
				group = firstGroup(e.slots.first) + uint32(i/groupSize)
			}
			if d.group != group || groups[d.id] != group {
				t.Fatalf("%s: destination %d is in group %d, written %d, want %d", when, d.id, d.group, groups[d.id], group)
			}
		}
	}
	for _, s := range tb.slots.free {
		slots += s.count
	}
	for _, s := range tb.retired {
		slots += s.slots.count
	}
	for _, n := range []struct {
		of          string
		given, held int
	}{
		{"services", int(tb.serviceIDs.next - tb.serviceIDs.first), len(tb.serviceIDs.free) + len(tb.serviceIDs.resting) + tb.services.Len()},
		{"lent sets", int(tb.lent.next - tb.lent.first), len(tb.lent.free) + len(tb.lent.resting) + lent},
		{"destinations", int(tb.destIDs.next - tb.destIDs.first), len(tb.destIDs.free) + tb.dests.len()},
		{"slots", int(p.engine.maps["slots"].MaxEntries()) - 1, int(slots)},
	} {
		if n.given != n.held {
			t.Fatalf("%s: %d %s were given out, %d are known", when, n.given, n.of, n.held)
		}
	}
	for k, d := range tb.dests.all() {
		if listed[d] != d.gone.IsZero() || (tb.gone[k.service][k.addr] == d) != !d.gone.IsZero() {
			t.Fatalf("%s: %v is listed: %v, gone since %v", when, k, listed[d], d.gone)
		}
	}
	for _, id := range tb.destIDs.free {
		if groups[id] != 0 {
			t.Fatalf("%s: destination %d, which there is not, is in group %d", when, id, groups[id])
		}
	}
	var written engineFilter
	labtest.Must(t, p.engine.maps[filtersMap].Lookup(uint32(0), &written))
	if want, _ := wholeFilter(p); p.bits != want || written != want {
		t.Fatalf("%s: the filter is not what it should be", when)
	}
}
