package lvs

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Tuning is what a data plane is told beside its services: how long things
// last, the switches the kernel's IPVS has under net.ipv4.vs, and which
// packets get which firewall mark.
type Tuning struct {
	Timeouts Timeouts
	Sysctls  Sysctls
	Rules    []Rule // the first that fits counts
}

// Equal tells whether t and o ask for the same.
func (t Tuning) Equal(o Tuning) bool {
	return t.Timeouts == o.Timeouts && t.Sysctls == o.Sysctls && slices.Equal(t.Rules, o.Rules)
}

// DefaultTuning is IPVS as it comes.
func DefaultTuning() Tuning {
	return Tuning{
		Timeouts: Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute},
		Sysctls:  DefaultSysctls(),
	}
}

// A Rule gives packets a firewall mark.
type Rule struct {
	Mark        uint32
	Protocol    Protocol // 0: TCP, UDP and SCTP
	From, To    netip.Prefix
	SourcePorts PortRange
	Ports       PortRange
	Interface   string // that they arrive on; empty: any
}

// A PortRange is a range of ports, both ends in it. The zero value is every port.
type PortRange struct{ First, Last uint16 }

// Bounds are the ends as numbers: 0 and 65535 for every port.
func (r PortRange) Bounds() (first, last uint16) {
	if r == (PortRange{}) {
		return 0, 65535
	}
	return r.First, r.Last
}

// String is "80" or "20-21".
func (r PortRange) String() string {
	first, last := r.Bounds()
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}
