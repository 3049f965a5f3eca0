package ipvsadm

import (
	"fmt"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// Saved is the table as the command lines that would make it, as ipvsadm -S
// writes them. Thresholds are left out, as there.
func Saved(entries []Entry, numeric bool, names Names) string {
	var b strings.Builder
	for _, e := range Sorted(entries, false) {
		s := e.Service
		key := savedKey(s.Key, numeric, names)
		fmt.Fprintf(&b, "-A %s -s %s%s\n", key, s.Scheduler, savedOptions(s))
		for _, d := range sortedDestinations(s.Destinations) {
			fmt.Fprintf(&b, "-a %s -r %s %s -w %d", key, endpoint(d.Addr, s.Key.Protocol, numeric, names), d.Forward.Flag(), d.Weight)
			if d.Forward == lvs.Tunnel {
				b.WriteString(" " + d.Encap.Flags())
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func savedKey(k lvs.ServiceKey, numeric bool, names Names) string {
	if k.Mark != 0 {
		if k.Family == lvs.IPv6 {
			return "-f " + markText(k.Mark) + " -6"
		}
		return "-f " + markText(k.Mark)
	}
	option := map[lvs.Protocol]string{lvs.TCP: "-t ", lvs.UDP: "-u ", lvs.SCTP: "--sctp-service "}[k.Protocol]
	return option + endpoint(k.Addr, k.Protocol, numeric, names)
}

func savedOptions(s lvs.Service) string {
	var b strings.Builder
	if p := s.Persistence; p.Timeout != 0 {
		fmt.Fprintf(&b, " -p %d", p.Timeout)
		if mask := maskText(p.Mask); mask != "" {
			fmt.Fprintf(&b, " -M %s", mask)
		}
	}
	if s.Persistence.Engine != "" {
		b.WriteString(" --pe " + s.Persistence.Engine)
	}
	if s.OnePacket {
		b.WriteString(" -o")
	}
	if names := lvs.FlagNames(s.SchedFlags, s.Scheduler); len(names) > 0 {
		b.WriteString(" -b " + strings.Join(names, ","))
	}
	return b.String()
}
