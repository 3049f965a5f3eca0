package ipvsadm

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// defaultInterface is where a sync daemon speaks if nothing else is said.
const defaultInterface = "eth0"

// DaemonLines are what -L --daemon prints of the sync daemons that run.
func DaemonLines(ds []lvs.SyncDaemon) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%s sync daemon (mcast=%s, syncid=%d, maxlen=%d, group=%s, port=%d, ttl=%d)\n",
			d.Role, d.Interface, d.ID, d.MaxLength, d.Group, d.Port, d.TTL)
	}
	return b.String()
}

func (p *parser) startDaemon(value string, _ bool) *Failure {
	p.c.Daemon.Interface = defaultInterface
	return p.daemon(value, "illegal start-daemon parameter specified")
}

func (p *parser) stopDaemon(value string, _ bool) *Failure {
	return p.daemon(value, "illegal start_daemon specified")
}

func (p *parser) daemon(value, text string) *Failure {
	p.c.Daemon.Role = lvs.SyncRole(value)
	if p.c.Daemon.Role != lvs.SyncMaster && p.c.Daemon.Role != lvs.SyncBackup {
		return usage("%s", text)
	}
	return nil
}

// within takes a number of the sync daemon's.
func within(text string, low, high int64, take func(*lvs.SyncDaemon, int64)) func(*parser, string, bool) *Failure {
	return func(p *parser, value string, _ bool) *Failure {
		n, ok := number(value, low, high)
		if !ok {
			return usage("%s", text)
		}
		take(&p.c.Daemon, n)
		return nil
	}
}

func (p *parser) mcastInterface(value string, _ bool) *Failure {
	if value != "" {
		p.c.Daemon.Interface = value[:min(len(value), maxInterface)]
	}
	return nil
}

func (p *parser) group(value string, _ bool) *Failure {
	family := "IPv4"
	if strings.Contains(value, ":") {
		family = "IPv6"
	}
	// As for inet_pton, not as for inet_aton, which reads other addresses.
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" || a.Is4In6() || !a.IsMulticast() {
		return usage("invalid %s mcast-group `%s'", family, value)
	}
	p.c.Daemon.Group = a
	return nil
}
