package ipvsadm

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// ConnectionTitle heads the listing of connections.
func ConnectionTitle(show Show) string {
	const begin = "IPVS connection entries\n"
	if show.PE {
		return begin + fmt.Sprintf("pro expire %-11s %-18s %-18s %-18s %-16s %s\n", "state", "source", "virtual", "destination", "pe name", "pe_data")
	}
	return begin + fmt.Sprintf("pro expire %-11s %-18s %-18s %s\n", "state", "source", "virtual", "destination")
}

// A Connection is one line of the listing of connections.
type Connection struct {
	Protocol                     lvs.Protocol
	Client, Virtual, Destination netip.AddrPort
	State                        string
	Expires                      time.Duration
	Engine, EngineData           string // what a persistence engine knows of it
}

// Line is the connection as it is listed.
func (c Connection) Line(show Show, names Names) string {
	name := func(at netip.AddrPort) string { return endpoint(at, c.Protocol, show.Numeric, names) }
	left := int(c.Expires / time.Second)
	begin := fmt.Sprintf("%-3s %-6s %-11s %-18s %-18s ", c.Protocol, fmt.Sprintf("%02d:%02d", left/60, left%60),
		c.State, name(c.Client), name(c.Virtual))
	if show.PE && c.Engine != "" {
		return begin + fmt.Sprintf("%-16s %-18s %s\n", name(c.Destination), c.Engine, c.EngineData)
	}
	return begin + name(c.Destination) + "\n"
}

// TimeoutLine is the answer to -L --timeout.
func TimeoutLine(t lvs.Timeouts) string {
	return fmt.Sprintf("Timeout (tcp tcpfin udp): %d %d %d\n", t.TCP/time.Second, t.TCPFin/time.Second, t.UDP/time.Second)
}
