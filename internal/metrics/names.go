package metrics

import "github.com/prometheus/client_golang/prometheus"

// declared are the names of all metrics, few what the library knows of those
// that not every service has one of.
var (
	declared []string
	fewDescs []*prometheus.Desc
)

// name declares a metric. Help says what it means when it rises.
func name(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(full(name), help, labels, nil)
	fewDescs = append(fewDescs, d)
	return d
}

// of declares a metric that every service or destination has.
func of(name, help, kind string) head { return head{full(name), help, kind} }

func full(name string) string {
	name = "weir_" + name
	declared = append(declared, name)
	return name
}

var (
	buildInfo  = name("build_info", "Always 1; the label is the version.", "version")
	configured = name("configured", "1 once a configuration has been applied.")
	problem    = name("problem", "1 while the table is not as it should be; weir status says why.")
	applied    = name("configuration_applied_timestamp_seconds", "When the configuration was last applied.")
	readable   = name("dataplane_readable", "1 if the counters of the data plane could be read.")
	services   = name("services", "Virtual services in the table.")
	byHand     = name("services_by_hand", "Services that are not as the configuration has them.")

	drift = name("drift_services", "Services others have changed in the kernel's IPVS, or made or removed; settings too.", "kind")

	serversUp   = name("real_servers_up", "Real servers that are up, each counted in every service.")
	serversDown = name("real_servers_down", "Real servers that are down, by reason.", "reason")

	routerActive    = name("router_active", "1 while this director holds the addresses of the virtual router. The sum over all directors must be 1.", "router")
	routerFault     = name("router_fault", "1 while this director cannot take part: an interface is down, say.", "router")
	routerPriority  = name("router_priority", "Its priority as advertised now.", "router")
	routerTakeovers = name("router_takeovers_total", "How often this director became active; a steady rise is two directors that do not hear each other.", "router")
	routerAdverts   = name("router_adverts_total", "Adverts sent and heard, and packets of its number that were refused; a rise of those is a peer with another password, version or interval.", "router", "way")

	fallback  = of("service_fallback", "1 while the fallback stands in: no real server is up.", gauge)
	up        = of("destination_up", "1 if the real server is up.", gauge)
	ordered   = of("destination_ordered", "1 if an operator's order holds its weight.", gauge)
	weight    = of("destination_weight", "Its weight in the table; 0 takes no new connections.", gauge)
	active    = of("destination_active_connections", "Connections in an active state.", gauge)
	inactive  = of("destination_inactive_connections", "The other connections.", gauge)
	templates = of("destination_templates", "Clients persistence has bound to it.", gauge)

	serviceCounts     = countsOf("service")
	destinationCounts = countsOf("destination")

	verdicts  = name("verdict_packets_total", "Packets by what became of them; docs/packet.md tells each.", "verdict", "fate")
	tableSize = name("connection_table_entries", "Entries the connection tables have room for.")
	tableUsed = name("connection_table_used_entries", "Entries in use; when they reach the room new connections are refused.")
	tableHalf = name("connection_table_half_open_entries", "Half-open connections of TCP and SCTP; a rise may be a flood of SYN or INIT.")
)

// counts are the counters services and destinations have alike.
type counts struct{ connections, packets, bytes head }

func countsOf(thing string) counts {
	return counts{
		connections: of(thing+"_connections_total", "Connections scheduled.", counter),
		packets:     of(thing+"_packets_total", "Packets from clients (in) and from real servers (out).", counter),
		bytes:       of(thing+"_bytes_total", "Bytes of IP packets from clients (in) and from real servers (out).", counter),
	}
}
