package lvs

import "net/netip"

// A Probe is a made-up packet whose way through the engine is asked for.
type Probe struct {
	Protocol  Protocol
	From      netip.AddrPort
	To        netip.AddrPort
	Flags     string // TCP: of S A F R; empty: S
	TTL       uint8  // 0: 64
	Length    int    // of the IP packet in bytes; 0: no payload
	Interface string // it arrives on; empty: any attached one
}

// A Step is one thing that happens to a packet, in words.
type Step struct {
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
}

// An Explanation is what would happen to a packet, and why.
type Explanation struct {
	Steps   []Step `json:"steps"`
	Verdict string `json:"verdict"` // as in docs/packet.md
	Fate    string `json:"fate" enum:"passed,sent,dropped"`
	Drop    bool   `json:"drop"` // Fate is dropped
	Help    string `json:"help"`
}
