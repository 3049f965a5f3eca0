package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// Random is where the dispatcher's generator of flows starts.
const random = 0x9e3779b9

// A Figure is what was measured of one thing.
type Figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// figure is the median and the range of some measurements.
func figure(times []float64) Figure {
	s := slices.Sorted(slices.Values(times))
	return Figure{s[len(s)/2], s[0], s[len(s)-1]}
}

// Spread is how far measurements lay from their median, as a part of it.
func (f Figure) Spread() float64 { return max(f.High-f.Median, f.Median-f.Low) / max(f.Median, 1e-9) }

// A run is one turn of the test-run facility.
type run struct {
	frame  frame
	reply  bool
	flows  uint32
	first  uint32 // of flows that come one after the other
	random bool
	times  uint32
}

// one is a run's time for each packet in nanoseconds.
func (s *subject) one(r run) (float64, error) {
	ns, _, err := s.timed(r)
	return ns, err
}

// timed also tells what became of the last packet.
func (s *subject) timed(r run) (ns float64, action uint32, err error) {
	d := dispatcherDispatch{Length: frameLength, Flows: r.flows, Course: r.frame.course(r.reply), Next: r.first}
	if r.random {
		d.Random = random
	}
	packet := r.frame.bytes()
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&d.Template)), unsafe.Sizeof(d.Template)), packet)
	if err := s.dispatch.Set(&d); err != nil {
		return 0, 0, fmt.Errorf("tell the dispatcher what to send: %w", err)
	}
	began := processorTime()
	action, told, err := s.Benchmark(packet, int(r.times), nil)
	if r.times < enough {
		return float64(told.Nanoseconds()), action, err
	}
	return float64(processorTime()-began) / float64(r.times), action, err
}

// enough packets make it worth asking for the thread's own time rather than
// for the test-run facility's, which tells whole nanoseconds and counts what
// other work does on the CPU meanwhile. Around the packets it takes some
// microseconds.
const enough = 10_000

// processorTime is what the calling thread has used.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // fails for a bad address only
	return time.Duration(t.Nano())
}

// apart runs a program once over each of many packets, and is the median.
func (s *subject) apart(r run) (float64, error) {
	times := make([]float64, 0, r.times)
	r.times = 1
	d := dispatcherDispatch{Length: frameLength, Flows: r.flows, Course: r.frame.course(r.reply), Random: random}
	packet := r.frame.bytes()
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&d.Template)), unsafe.Sizeof(d.Template)), packet)
	if err := s.dispatch.Set(&d); err != nil {
		return 0, fmt.Errorf("tell the dispatcher what to send: %w", err)
	}
	for range cap(times) {
		_, t, err := s.Benchmark(packet, 1, nil)
		if err != nil {
			return 0, err
		}
		times = append(times, float64(t.Nanoseconds()))
	}
	return figure(times).Median, nil
}

// batch is how many flows are opened before they are established: far fewer than
// there is room for half-open ones, so that none pushes out another.
const batch = 256

// open makes flows known, or fills the table with half-open ones.
func (s *subject) open(r row, flows uint32) error {
	if r.evict {
		_, err := s.one(run{frame: r.packet, first: evicted, flows: flows, times: 4 * uint32(usual.HalfOpen)})
		return err
	}
	size := uint32(batch)
	if len(r.opening) == 1 {
		size <<= 8
	}
	for first := uint32(0); first < flows; first += size {
		for _, f := range r.opening {
			if _, err := s.one(run{frame: f, first: first, flows: flows, times: min(size, flows-first)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// evicted is the first of the flows that fill a table before a flood begins.
const evicted = 64 << 16

// counts are what the engine has counted of packets and flows.
type counts struct {
	verdicts         map[string]uint64
	active, inactive uint64
	templates        uint64
}

func (s *stage) counts(ctx context.Context) (counts, error) {
	t, err := s.plane.Totals(ctx)
	if err != nil {
		return counts{}, err
	}
	c := counts{verdicts: make(map[string]uint64)}
	for _, v := range t.Verdicts {
		c.verdicts[v.Name] = v.Packets
	}
	for _, svc := range t.Services {
		for _, d := range svc.Destinations {
			c.active += uint64(d.Active)
			c.inactive += uint64(d.Inactive)
			c.templates += uint64(d.Templates)
		}
	}
	return c, nil
}

var errOtherRoad = errors.New("the packets did not take the road that was to be measured")

// since says whether all packets since then met the one fate. The kernel itself
// says a word now and then on the director's links, which is not ours.
func (c counts) since(was counts, verdict string, packets uint64) error {
	for name, n := range c.verdicts {
		want := uint64(0)
		if name == verdict {
			want = packets
		}
		if got := n - was.verdicts[name]; got < want || got > want && name != "not-ours" {
			return fmt.Errorf("%w: %d were counted as %s, want %d, with %d flows known", errOtherRoad, got, name, want, c.active+c.inactive)
		}
	}
	return nil
}

// holds says whether as many flows are known as there should be.
func (c counts) holds(r row, flows uint64) error {
	got := c.active
	if r.service.Key.Protocol == lvs.UDP {
		got = c.active + c.inactive
	}
	lost := uint64(0)
	if r.anew {
		lost = flows / 1000 // half-open ones push each other out here and there
	}
	if got > flows || got < flows-lost {
		return fmt.Errorf("%w: %d flows are known (%d active, %d inactive), want %d", errOtherRoad, got, c.active, c.inactive, flows)
	}
	return nil
}
