package estimate

import "github.com/weir-lb/weir/internal/lvs"

// An average is five smoothed rates in fixed point: ten binary places for
// connections and packets, five for bytes, as in struct ip_vs_estimator.
type average struct{ conns, inPackets, outPackets, inBytes, outBytes uint64 }

const (
	packetBits = 10
	byteBits   = 5
	seconds    = 2 // of an interval
)

// after is the average once delta more has been counted in an interval. A
// quarter of the difference is taken over each time.
func (a average) after(delta lvs.Counters) average {
	return average{
		conns:      follow(a.conns, delta.Connections, packetBits),
		inPackets:  follow(a.inPackets, delta.InPackets, packetBits),
		outPackets: follow(a.outPackets, delta.OutPackets, packetBits),
		inBytes:    follow(a.inBytes, delta.InBytes, byteBits),
		outBytes:   follow(a.outBytes, delta.OutBytes, byteBits),
	}
}

// follow shifts the signed difference, rounding down, as the kernel does.
func follow(average, delta uint64, bits uint) uint64 {
	rate := int64(delta<<bits) / seconds
	return uint64(int64(average) + (rate-int64(average))>>2)
}

// shown is the average as people see it, rounded.
func (a average) shown() lvs.Rates {
	const packetRound, byteRound = 1<<(packetBits-1) - 1, 1<<(byteBits-1) - 1
	return lvs.Rates{
		Connections: (a.conns + packetRound) >> packetBits,
		InPackets:   (a.inPackets + packetRound) >> packetBits,
		OutPackets:  (a.outPackets + packetRound) >> packetBits,
		InBytes:     (a.inBytes + byteRound) >> byteBits,
		OutBytes:    (a.outBytes + byteRound) >> byteBits,
	}
}
