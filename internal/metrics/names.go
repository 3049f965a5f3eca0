package metrics

import "github.com/prometheus/client_golang/prometheus"

// declared are all metrics, fewNames those that not every service has one of.
var declared, fewNames []*prometheus.Desc

// name declares a metric. Help says what it means when it rises.
func name(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("weir_"+name, help, labels, nil)
	declared = append(declared, d)
	if len(labels) == 0 || labels[0] != "service" {
		fewNames = append(fewNames, d)
	}
	return d
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

	fallback  = name("service_fallback", "1 while the fallback stands in: no real server is up.", "service")
	up        = name("destination_up", "1 if the real server is up.", "service", "destination")
	ordered   = name("destination_ordered", "1 if an operator's order holds its weight.", "service", "destination")
	weight    = name("destination_weight", "Its weight in the table; 0 takes no new connections.", "service", "destination")
	active    = name("destination_active_connections", "Connections in an active state.", "service", "destination")
	inactive  = name("destination_inactive_connections", "The other connections.", "service", "destination")
	templates = name("destination_templates", "Clients persistence has bound to it.", "service", "destination")

	serviceCounts     = countsOf("service", "service")
	destinationCounts = countsOf("destination", "service", "destination")

	verdicts  = name("verdict_packets_total", "Packets by what became of them; docs/packet.md tells each.", "verdict", "fate")
	tableSize = name("connection_table_entries", "Entries the connection tables have room for.")
	tableUsed = name("connection_table_used_entries", "Entries in use; when they reach the room new connections are refused.")
	tableHalf = name("connection_table_half_open_entries", "Half-open connections of TCP and SCTP; a rise may be a flood of SYN or INIT.")
)

// countDescs are the counters services and destinations have alike.
type countDescs struct{ connections, packets, bytes *prometheus.Desc }

func countsOf(thing string, labels ...string) countDescs {
	directed := append(labels[:len(labels):len(labels)], "direction")
	return countDescs{
		connections: name(thing+"_connections_total", "Connections scheduled.", labels...),
		packets:     name(thing+"_packets_total", "Packets from clients (in) and from real servers (out).", directed...),
		bytes:       name(thing+"_bytes_total", "Bytes of IP packets from clients (in) and from real servers (out).", directed...),
	}
}
