package lvs

import (
	"iter"
	"net/netip"
	"slices"
)

// Counters are the statistics of a service or a destination, as the kernel's
// IPVS keeps them (packets and bytes of the IP packet, headers included).
type Counters struct {
	Connections uint64 `json:"connections"` // created by scheduling
	InPackets   uint64 `json:"in_packets"`  // client to real server
	InBytes     uint64 `json:"in_bytes"`
	OutPackets  uint64 `json:"out_packets"` // real server to client, as far as they pass the director
	OutBytes    uint64 `json:"out_bytes"`
}

// Add is the sum of c and o.
func (c Counters) Add(o Counters) Counters {
	return Counters{c.Connections + o.Connections, c.InPackets + o.InPackets, c.InBytes + o.InBytes,
		c.OutPackets + o.OutPackets, c.OutBytes + o.OutBytes}
}

// Sub is what c has counted since o. Counters that are lower than they were
// have begun anew, and count as they are.
func (c Counters) Sub(o Counters) Counters {
	if c.Connections < o.Connections || c.InPackets < o.InPackets || c.InBytes < o.InBytes ||
		c.OutPackets < o.OutPackets || c.OutBytes < o.OutBytes {
		return c
	}
	return Counters{c.Connections - o.Connections, c.InPackets - o.InPackets, c.InBytes - o.InBytes,
		c.OutPackets - o.OutPackets, c.OutBytes - o.OutBytes}
}

// Rates are counters a second, smoothed as the kernel's IPVS does it.
type Rates struct {
	Connections uint64 `json:"connections"`
	InPackets   uint64 `json:"in_packets"`
	InBytes     uint64 `json:"in_bytes"`
	OutPackets  uint64 `json:"out_packets"`
	OutBytes    uint64 `json:"out_bytes"`
}

// DestinationCounters are what is counted for one destination.
type DestinationCounters struct {
	Counters
	Rates    Rates  `json:"rates"`
	Active   uint32 `json:"active"`   // connections now in an active state
	Inactive uint32 `json:"inactive"` // the others
	// Templates are the clients persistence has bound to it.
	Templates uint32 `json:"templates"`
}

// ServiceCounters are what is counted for one service.
type ServiceCounters struct {
	Counters
	Rates Rates
	// Destinations are in the order the data plane has them, which is nearly
	// always that of the service's list.
	Destinations []DestinationCount
}

// A DestinationCount is what is counted for the destination at Addr.
type DestinationCount struct {
	Addr netip.AddrPort
	DestinationCounters
}

// Of is what is counted for the destination at addr. Where it is in the list
// is only a hint, which saves a search.
func (s ServiceCounters) Of(place int, addr netip.AddrPort) DestinationCounters {
	if place < len(s.Destinations) && s.Destinations[place].Addr == addr {
		return s.Destinations[place].DestinationCounters
	}
	for _, d := range s.Destinations {
		if d.Addr == addr {
			return d.DestinationCounters
		}
	}
	return DestinationCounters{}
}

// What a verdict means for the packet.
const (
	Passed  = "passed"  // it goes on as if weir were not there
	Sent    = "sent"    // to a real server, to a client, or to the director's own stack
	Dropped = "dropped" // perhaps with an ICMP answer
)

// A PacketVerdict is what was decided about packets: its name as in
// docs/packet.md, how often it was met, and what it meant for them.
type PacketVerdict struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
	Fate    string `json:"fate" enum:"passed,sent,dropped"`
	Drop    bool   `json:"drop"` // Fate is dropped
	Help    string `json:"help"`
}

// Totals are the data plane's counters at one moment.
type Totals struct {
	All         Counters // what all services have counted, also those that are gone
	AllRates    Rates
	Services    map[ServiceKey]ServiceCounters
	Verdicts    []PacketVerdict
	Connections ConnectionUse
}

// A Reading is what a data plane had counted for its services at one moment,
// told a service at a time: that of 100,000 destinations at once is as large as
// their table.
type Reading interface {
	// Each yields every service, in no order. The destinations of each are good
	// until the next is asked for, here or with Of.
	Each() iter.Seq2[ServiceKey, ServiceCounters]
	// Of is one service, as good for as long; false: it did not stand.
	Of(k ServiceKey) (ServiceCounters, bool)
}

// Each implements Reading.
func (t Totals) Each() iter.Seq2[ServiceKey, ServiceCounters] {
	return func(yield func(ServiceKey, ServiceCounters) bool) {
		for k := range t.Services {
			if s, _ := t.Of(k); !yield(k, s) {
				return
			}
		}
	}
}

// Of implements Reading. Its answer may be changed.
func (t Totals) Of(k ServiceKey) (ServiceCounters, bool) {
	s, ok := t.Services[k]
	s.Destinations = slices.Clone(s.Destinations)
	return s, ok
}

// ConnectionUse says how full the connection table is.
type ConnectionUse struct {
	Size int `json:"size"` // entries there is room for, both families together
	Used int `json:"used"`
	Half int `json:"half_open"` // of which half-open, of TCP and SCTP
}
