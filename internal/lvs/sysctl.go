package lvs

// A Sysctl is one of the kernel's net.ipv4.vs settings that weir carries out.
type Sysctl uint8

// The settings, by their names in the kernel.
const (
	AmDroprate Sysctl = iota
	Amemthresh
	CacheBypass
	ConnReuseMode
	DropEntry
	DropPacket
	ExpireNodestConn
	ExpireQuiescentTemplate
	LblcExpiration
	LblcrExpiration
	NatICMPSend
	ScheduleICMP
	SecureTCP
	SloppySCTP
	SloppyTCP
	sysctlCount
)

// Sysctls are the values of all settings.
type Sysctls [sysctlCount]int

// A SysctlInfo describes a setting.
type SysctlInfo struct {
	Name     string
	Default  int
	Min, Max int
	Help     string
}

var sysctlInfos = [sysctlCount]SysctlInfo{
	AmDroprate:              {"am_droprate", 10, 1, 1 << 30, "drop_packet 3 drops every so many'th new flow"},
	Amemthresh:              {"amemthresh", 1024, 1, 1 << 30, "pages; less free memory is memory pressure"},
	CacheBypass:             {"cache_bypass", 0, 0, 1, "packets of a firewall-mark service without a usable real server go on to where they were sent"},
	ConnReuseMode:           {"conn_reuse_mode", 1, 0, 3, "which old connections a new SYN of the same client port replaces: 0 none, 1 closed ones, 2 and 3 those in FIN_WAIT without answers too"},
	DropEntry:               {"drop_entry", 0, 0, 3, "forget half-open and long idle connections: 0 never, 1 and 2 under memory pressure, 3 always"},
	DropPacket:              {"drop_packet", 0, 0, 3, "drop some new flows: 0 never, 1 and 2 under memory pressure, 3 every am_droprate'th"},
	ExpireNodestConn:        {"expire_nodest_conn", 0, 0, 1, "forget the connections of a removed real server at once instead of dropping their packets"},
	ExpireQuiescentTemplate: {"expire_quiescent_template", 0, 0, 1, "templates of a real server with weight 0 attract no new connections"},
	LblcExpiration:          {"lblc_expiration", 86400, 1, 1 << 30, "seconds after which lblc forgets an address nobody asked for"},
	LblcrExpiration:         {"lblcr_expiration", 86400, 1, 1 << 30, "seconds after which lblcr forgets, or takes a real server out of a set"},
	NatICMPSend:             {"nat_icmp_send", 0, 0, 1, "answer packets of masqueraded real servers that belong to no connection with port unreachable"},
	ScheduleICMP:            {"schedule_icmp", 0, 0, 1, "an ICMP error about an unknown connection of a service is scheduled"},
	SecureTCP:               {"secure_tcp", 0, 0, 3, "believe only the real server that a connection is established: 0 never, 1 and 2 under memory pressure, 3 always"},
	SloppySCTP:              {"sloppy_sctp", 0, 0, 1, "any SCTP packet opens a connection, not only INIT"},
	SloppyTCP:               {"sloppy_tcp", 0, 0, 1, "any TCP segment opens a connection, not only SYN"},
}

// Info describes s.
func (s Sysctl) Info() SysctlInfo { return sysctlInfos[s] }

// AllSysctls are the settings in the order of their names.
func AllSysctls() []Sysctl {
	all := make([]Sysctl, sysctlCount)
	for i := range all {
		all[i] = Sysctl(i)
	}
	return all
}

// DefaultSysctls are the values the kernel starts with.
func DefaultSysctls() (v Sysctls) {
	for s, info := range sysctlInfos {
		v[s] = info.Default
	}
	return v
}

// ForeignSysctls are the settings of net.ipv4.vs weir has no use for, with
// the reason.
var ForeignSysctls = map[string]string{
	"backup_only":         "a director that is only a backup has no addresses, so no packet reaches it",
	"conntrack":           "weir keeps its own table; the kernel's connection tracking never sees its packets",
	"ignore_tunneled":     "packets out of a tunnel device are not balanced unless weir is told to attach to it",
	"pmtu_disc":           "weir fragments nothing, so its tunnels always heed the path MTU",
	"run_estimation":      "rates are worked out when somebody asks",
	"snat_reroute":        "answers are always routed by their new source",
	"sync_persist_mode":   "it belongs to the sync daemon",
	"sync_ports":          "it belongs to the sync daemon",
	"sync_qlen_max":       "it belongs to the sync daemon",
	"sync_refresh_period": "it belongs to the sync daemon",
	"sync_retries":        "it belongs to the sync daemon",
	"sync_sock_size":      "it belongs to the sync daemon",
	"sync_threshold":      "it belongs to the sync daemon",
	"sync_version":        "it belongs to the sync daemon",
}
