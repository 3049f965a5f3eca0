package ipvsadm

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// TableSize is what the first line of a listing says of the connection table,
// as the kernel does by default. weir's own table is another thing; scripts
// only look at the words before it.
const TableSize = 4096

// An Entry is a service to be listed, with what is counted for it.
type Entry struct {
	Service  lvs.Service
	Counters lvs.ServiceCounters
}

// Banner is the first line of a listing of the whole table.
func Banner() string {
	return fmt.Sprintf("IP Virtual Server version 1.2.1 (size=%d)\n", TableSize)
}

// Table is the listing without its first line.
func Table(entries []Entry, show Show, names Names) string {
	t := lister{show: show, names: names}
	t.title()
	for _, e := range Sorted(entries, show.NoSort) {
		t.service(e)
	}
	return t.b.String()
}

// A lister writes a listing.
type lister struct {
	show  Show
	names Names
	b     strings.Builder
}

func (t *lister) printf(format string, args ...any) { fmt.Fprintf(&t.b, format, args...) }

func (t *lister) title() {
	const local, remote = "Prot LocalAddress:Port", "  -> RemoteAddress:Port"
	switch t.show.Mode {
	case Stats:
		t.printf("%-33s %8s %8s %8s %8s %8s\n", local, "Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")
	case Rates:
		t.printf("%-33s %8s %8s %8s %8s %8s\n", local, "CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")
	case Thresholds:
		t.printf("%-33s %-10s %-10s %-10s %-10s\n", local, "Uthreshold", "Lthreshold", "ActiveConn", "InActConn")
	case PersistentConnections:
		t.printf("%-33s %-9s %-11s %-10s %-10s\n", local, "Weight", "PersistConn", "ActiveConn", "InActConn")
	case TunnelInfo:
		t.printf("%s Scheduler Flags\n%s           Forward TunnelInfo    Weight ActiveConn InActConn\n", local, remote)
		return
	case Plain:
		t.printf("%s Scheduler Flags\n%s           Forward Weight ActiveConn InActConn\n", local, remote)
		return
	}
	t.printf("%s\n", remote)
}

func (t *lister) service(e Entry) {
	s, c := e.Service, e.Counters
	name := t.serviceName(s.Key)
	switch t.show.Mode {
	case Stats:
		t.printf("%-33s", name)
		t.numbers(c.Connections, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes)
	case Rates:
		t.printf("%-33s", name)
		r := c.Rates
		t.numbers(r.Connections, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes)
	default:
		t.printf("%s %s%s\n", name, s.Scheduler, flags(s))
	}
	lines := make([]line, len(s.Destinations))
	for i, d := range s.Destinations {
		lines[i] = line{d, c.Of(i, d.Addr)}
	}
	if !t.show.NoSort {
		sortAs(lines, func(a, b line) int { return compareEndpoints(a.Addr, b.Addr) })
	}
	for _, l := range lines {
		t.destination(s, l.Destination, l.DestinationCounters)
	}
}

// A line is a destination to be listed, with what is counted for it.
type line struct {
	lvs.Destination
	lvs.DestinationCounters
}

func (t *lister) destination(s lvs.Service, d lvs.Destination, c lvs.DestinationCounters) {
	t.printf("  -> %-28s", t.destinationName(s.Key, d.Addr))
	switch t.show.Mode {
	case Stats:
		t.numbers(c.Connections, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes)
	case Rates:
		r := c.Rates
		t.printf(" %8d %8d %8d", r.Connections, r.InPackets, r.OutPackets)
		t.numbers(r.InBytes, r.OutBytes)
	case Thresholds:
		t.printf(" %-10d %-10d %-10d %-10d\n", d.Upper, d.Lower, c.Active, c.Inactive)
	case PersistentConnections:
		t.printf(" %-9d %-11d %-10d %-10d\n", d.Weight, c.Templates, c.Active, c.Inactive)
	case TunnelInfo:
		t.printf(" %-7s %-13s %-6d %-10d %-10d\n", d.Forward, tunnelInfo(d), d.Weight, c.Active, c.Inactive)
	case Plain:
		t.printf(" %-7s %-6d %-10d %-10d\n", d.Forward, d.Weight, c.Active, c.Inactive)
	}
}

// numbers writes counters and ends the line.
func (t *lister) numbers(ns ...uint64) {
	for _, n := range ns {
		t.b.WriteString(t.number(n))
	}
	t.b.WriteByte('\n')
}

// number is n in nine places, or as many as it needs if it is to be exact.
func (t *lister) number(n uint64) string {
	switch {
	case t.show.Exact:
		return fmt.Sprintf(" %8d", n)
	case n < 100_000_000:
		return fmt.Sprintf("%9d", n)
	case n < 1_000_000_000:
		return fmt.Sprintf("%8dK", n/1_000)
	case n < 100_000_000_000:
		return fmt.Sprintf("%8dM", n/1_000_000)
	case n < 100_000_000_000_000:
		return fmt.Sprintf("%8dG", n/1_000_000_000)
	}
	return fmt.Sprintf("%8dT", n/1_000_000_000_000)
}

func tunnelInfo(d lvs.Destination) string {
	sum := map[lvs.TunnelChecksum]string{lvs.NoChecksum: "-c", lvs.Checksum: "+c", lvs.RemoteChecksum: "r+c"}[d.Encap.Checksum]
	switch {
	case d.Forward != lvs.Tunnel:
		return "n/a"
	case d.Encap.Type == lvs.GUE:
		return fmt.Sprintf("gue:%d:%s", d.Encap.Port, sum)
	case d.Encap.Type == lvs.GRE:
		return "gre:" + sum
	}
	return "ipip"
}

// flags are what follows the scheduler's name.
func flags(s lvs.Service) string {
	var b strings.Builder
	if names := lvs.FlagNames(s.SchedFlags, s.Scheduler); len(names) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(names, ","))
	}
	if p := s.Persistence; p.Timeout != 0 {
		fmt.Fprintf(&b, " persistent %d", p.Timeout)
		if mask := maskText(p.Mask); mask != "" {
			fmt.Fprintf(&b, " mask %s", mask)
		}
		if p.Engine != "" {
			fmt.Fprintf(&b, " pe %s", p.Engine)
		}
	}
	if s.OnePacket {
		b.WriteString(" ops")
	}
	return b.String()
}

// maskText is a persistence mask, and nothing if all bits count.
func maskText(m netip.Addr) string {
	ones := 0
	for _, b := range m.AsSlice() {
		ones += bits.OnesCount8(b)
	}
	switch {
	case ones == m.BitLen():
		return ""
	case m.Is4():
		return m.String()
	}
	return strconv.Itoa(ones)
}
