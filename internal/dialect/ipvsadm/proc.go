package ipvsadm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// jiffies a second has on Debian: the file ip_vs tells persistence in them.
const jiffies = 250

// Files are the texts weir can print in place of those the kernel has under
// /proc/net.
var Files = []string{"ip_vs", "ip_vs_app", "ip_vs_conn", "ip_vs_conn_sync", "ip_vs_stats", "ip_vs_stats_percpu"}

// FileTable is ip_vs.
func FileTable(entries []Entry) string {
	var b strings.Builder
	b.WriteString(Banner() + "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n")
	for _, e := range entries {
		fileService(&b, e.Service)
		for i, d := range e.Service.Destinations {
			c := e.Counters.Of(i, d.Addr)
			fmt.Fprintf(&b, "  -> %s      %-7s %-6d %-10d %-10d\n", hexEndpoint(d.Addr), d.Forward, d.Weight, c.Active, c.Inactive)
		}
	}
	return b.String()
}

// fileService is the line of a service, with the blanks the kernel leaves.
func fileService(b *strings.Builder, s lvs.Service) {
	ops := ""
	if s.OnePacket {
		ops = "ops "
	}
	switch {
	case s.Key.Mark != 0:
		fmt.Fprintf(b, "FWM  %08X %s %s", s.Key.Mark, s.Scheduler, ops)
	case s.Key.AF() == lvs.IPv6:
		fmt.Fprintf(b, "%s  %s %s ", s.Key.Protocol, hexEndpoint(s.Key.Addr), s.Scheduler)
	default:
		fmt.Fprintf(b, "%s  %s %s %s ", s.Key.Protocol, hexEndpoint(s.Key.Addr), s.Scheduler, ops)
	}
	if p := s.Persistence; p.Timeout != 0 {
		fmt.Fprintf(b, "persistent %d %08X", uint64(p.Timeout)*jiffies, hexMask(p.Mask))
	}
	b.WriteByte('\n')
}

// hexMask is a mask as the kernel prints it: for IPv6 the length of the
// prefix, its bytes turned round.
func hexMask(m netip.Addr) uint32 {
	raw := m.AsSlice()
	if m.Is4() {
		return binary.BigEndian.Uint32(raw)
	}
	bits, _ := lvs.Persistence{Mask: m}.Prefix()
	return uint32(bits) << 24
}

func hexEndpoint(at netip.AddrPort) string {
	if at.Addr().Is6() {
		return fmt.Sprintf("[%s]:%04X", at.Addr().StringExpanded(), at.Port())
	}
	return fmt.Sprintf("%s:%04X", hexAddr(at.Addr()), at.Port())
}

func hexAddr(a netip.Addr) string {
	if a.Is6() {
		return a.StringExpanded()
	}
	return fmt.Sprintf("%08X", binary.BigEndian.Uint32(a.AsSlice()))
}

// FileConnectionTitle heads ip_vs_conn, and ip_vs_conn_sync if sync.
func FileConnectionTitle(sync bool) string {
	const begin = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       "
	if sync {
		return begin + "Origin Expires\n"
	}
	return begin + "Expires PEName PEData\n"
}

// FileLine is the connection in ip_vs_conn, and in ip_vs_conn_sync if sync.
func (c Connection) FileLine(sync bool) string {
	line := fmt.Sprintf("%-3s %s %04X %s %04X %s %04X %-11s ", c.Protocol, hexAddr(c.Client.Addr()), c.Client.Port(),
		hexAddr(c.Virtual.Addr()), c.Virtual.Port(), hexAddr(c.Destination.Addr()), c.Destination.Port(), c.State)
	if sync {
		line += fmt.Sprintf("%-6s ", "LOCAL")
	}
	line += fmt.Sprintf("%7d", c.Expires/time.Second)
	if !sync && c.Engine != "" {
		line += " " + c.Engine + " " + c.EngineData
	}
	return line + "\n"
}

const (
	statTitle = "   Total Incoming Outgoing         Incoming         Outgoing\n"
	rateTitle = " Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"
)

func hexNumbers(conns, in, out, inBytes, outBytes uint64) string {
	return fmt.Sprintf("%8X %8X %8X %16X %16X\n", conns, in, out, inBytes, outBytes)
}

func hexCounters(c lvs.Counters) string {
	return hexNumbers(c.Connections, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes)
}

func hexRates(r lvs.Rates) string {
	return hexNumbers(r.Connections, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes)
}

// FileStats is ip_vs_stats.
func FileStats(c lvs.Counters, r lvs.Rates) string {
	return statTitle + "   Conns  Packets  Packets            Bytes            Bytes\n" + hexCounters(c) + "\n" + rateTitle + hexRates(r)
}

// FileStatsPerCPU is ip_vs_stats_percpu. weir adds the processors up: all is
// told of the first.
func FileStatsPerCPU(c lvs.Counters, r lvs.Rates) string {
	return "    " + statTitle + "CPU    Conns  Packets  Packets            Bytes            Bytes\n" +
		"  0 " + hexCounters(c) + "  ~ " + hexCounters(c) + "\n    " + rateTitle + "    " + hexRates(r)
}

// FileApp is ip_vs_app.
func FileApp() string { return "prot port    usecnt name\n" }
