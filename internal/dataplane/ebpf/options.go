package ebpf

import (
	"cmp"
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
	Connections  int // of IPv4; 0: 1,000,000
	Connections6 int // of IPv6; 0: as many
	HalfOpen     int // of each address family, but of IPv6 no more than Connections6 says; 0: 262,144
	Wide         int // templates and what else needs the wide table; 0: 262,144
	Services     int // 0: 16,384
	Destinations int // of all services together, and those still draining; 0: 131,072; at most 1,048,574

	halfOpen6 int
}

const maxDestinations = 1<<20 - 2 // 20 bits in a connection's word, less none and busy

func (o *Options) fill() error {
	o.Connections, o.HalfOpen = cmp.Or(o.Connections, 1_000_000), cmp.Or(o.HalfOpen, 262_144)
	o.halfOpen6 = min(o.HalfOpen, cmp.Or(o.Connections6, o.HalfOpen))
	for _, f := range []struct {
		n        *int
		standard int
	}{{&o.Connections, 0}, {&o.Connections6, o.Connections}, {&o.HalfOpen, 0}, {&o.Wide, 262_144}, {&o.Services, 16_384}, {&o.Destinations, 131_072}} {
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

const tick = 1 << 24 // nanoseconds; TICK_SHIFT in types.h

// ticks rounds up: a timeout is never shorter than said.
func ticks(d time.Duration) uint32 { return uint32((d + tick - 1) / tick) }
