package ebpf

import (
	"fmt"
	"time"
)

// A Mode says where packets meet the engine first.
type Mode string

// The modes.
const (
	Auto Mode = "auto" // XDP where every interface runs it natively and may be trusted with it, else tc
	XDP  Mode = "xdp"  // XDP in the drivers, or an error
	TC   Mode = "tc"
)

// Options are the sizes and choices of an engine. Sizes count only when the
// table is made: one that is adopted keeps its own.
type Options struct {
	Mode         Mode
	Connections  int // of each address family; 0: 1,000,000
	HalfOpen     int // of each address family; 0: 65,536
	Services     int // 0: 16,384
	Destinations int // of all services together, and those still draining; 0: 131,072; at most 1,048,574
	TCP          time.Duration
	TCPFin       time.Duration
	UDP          time.Duration
}

const maxDestinations = 1<<20 - 2 // 20 bits in a connection's word, less none and busy

func (o *Options) fill() error {
	for _, f := range []struct {
		n        *int
		standard int
	}{{&o.Connections, 1_000_000}, {&o.HalfOpen, 65_536}, {&o.Services, 16_384}, {&o.Destinations, 131_072}} {
		if *f.n == 0 {
			*f.n = f.standard
		}
		if *f.n < 0 {
			return fmt.Errorf("a table cannot have %d entries", *f.n)
		}
	}
	if o.Destinations > maxDestinations {
		return fmt.Errorf("%d destinations are more than the engine can number; the most is %d", o.Destinations, maxDestinations)
	}
	for _, f := range []struct {
		d        *time.Duration
		standard time.Duration
	}{{&o.TCP, 900 * time.Second}, {&o.TCPFin, 120 * time.Second}, {&o.UDP, 300 * time.Second}} {
		if *f.d == 0 {
			*f.d = f.standard
		}
	}
	if o.Mode == "" {
		o.Mode = Auto
	}
	return nil
}

// ways is CONN_WAYS of types.h: entries in a bucket.
const ways = 4

// buckets is the size of a main table. It has twice the entries that were
// asked for: a fuller one displaces too many from their home buckets.
func buckets(entries int) uint32 { return uint32(max(1, (2*entries+ways-1)/ways)) }

// halfBuckets is the size of a half-open table, which may run full: there the
// oldest gives way.
func halfBuckets(entries int) uint32 { return uint32(max(1, (entries+ways-1)/ways)) }

// timeouts are the seconds of IPVS for each TCP state, by its number.
var timeouts = [...]time.Duration{
	0: 2 * time.Second, 2: 120 * time.Second, 3: 60 * time.Second, 5: 120 * time.Second, 6: 10 * time.Second,
	7: 60 * time.Second, 8: 30 * time.Second, 9: 120 * time.Second, 10: 120 * time.Second,
}

func (o Options) timeouts() [16]uint32 {
	var t [16]uint32
	for i, d := range timeouts {
		t[i] = ticks(d)
	}
	t[1], t[4], t[15] = ticks(o.TCP), ticks(o.TCPFin), ticks(o.UDP)
	return t
}

const tick = 1 << 24 // nanoseconds; TICK_SHIFT in types.h

// ticks rounds up: a timeout is never shorter than said.
func ticks(d time.Duration) uint32 { return uint32((d + tick - 1) / tick) }
