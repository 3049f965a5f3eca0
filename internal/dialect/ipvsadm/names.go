package ipvsadm

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// How long names may become.
const (
	mostName        = 59
	mostService     = 33 // of IPv4, in listings
	mostDestination = 28
)

func cut(s string, most int) string { return s[:min(len(s), most)] }

// serviceName is how a listing begins the line of a service.
func (t *lister) serviceName(k lvs.ServiceKey) string {
	if k.Mark != 0 {
		name := "FWM  " + markText(k.Mark)
		if k.Family == lvs.IPv6 {
			name += " IPv6"
		}
		return name
	}
	name := pad(k.Protocol.String(), 4) + " " + endpoint(k.Addr, k.Protocol, t.show.Numeric, t.names)
	if k.AF() == lvs.IPv6 {
		return name
	}
	return cut(name, mostService)
}

func (t *lister) destinationName(k lvs.ServiceKey, at netip.AddrPort) string {
	name := endpoint(at, k.Protocol, t.show.Numeric, t.names)
	if lvs.FamilyOf(at.Addr()) == lvs.IPv6 {
		return name
	}
	return cut(name, mostDestination)
}

// markText is a mark as printf's %d shows it.
func markText(m uint32) string { return strconv.Itoa(int(int32(m))) }

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-len(s))) }

// endpoint is an address and a port, by their names if they have any. A port
// without a protocol has none.
func endpoint(at netip.AddrPort, p lvs.Protocol, numeric bool, names Names) string {
	host, port := at.Addr().String(), strconv.Itoa(int(at.Port()))
	if !numeric {
		if name := hostName(at.Addr(), names); name != "" {
			host = name
		}
		if name := portName(at.Port(), p, names); name != "" {
			port = name
		}
	}
	if at.Addr().Is6() {
		host = "[" + host + "]"
	}
	return cut(host+":"+port, mostName)
}

func hostName(a netip.Addr, names Names) string {
	if names.HostName == nil {
		return ""
	}
	return names.HostName(a)
}

func portName(port uint16, p lvs.Protocol, names Names) string {
	if names.PortName == nil || p == 0 {
		return ""
	}
	return names.PortName(port, strings.ToLower(p.String()))
}
