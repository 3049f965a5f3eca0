package ebpf

import "github.com/weir-lb/weir/internal/lvs"

// verdictNames are the fates of packets by their numbers in verdict.h, with
// what an operator should think when one rises. docs/packet.md says more.
var verdictNames = [engineVerdictV_COUNT]lvs.PacketVerdict{
	engineVerdictV_NOT_OURS:       {Name: "not-ours", Fate: lvs.Passed, Help: "neither to a service nor from a real server"},
	engineVerdictV_MALFORMED:      {Name: "malformed", Fate: lvs.Passed, Help: "headers do not fit the packet; the stack drops it"},
	engineVerdictV_NO_SERVICE:     {Name: "no-service", Fate: lvs.Passed, Help: "to a service's address, but not to a service"},
	engineVerdictV_NOT_OPENING:    {Name: "not-opening", Fate: lvs.Passed, Help: "of no known connection, and cannot open one; the stack answers TCP with RST"},
	engineVerdictV_DEFERRED:       {Name: "deferred", Fate: lvs.Passed, Help: "the stack answers it itself, mostly a hop count that ends here"},
	engineVerdictV_FORWARDED:      {Name: "forwarded", Fate: lvs.Sent, Help: "requests sent to real servers"},
	engineVerdictV_LOCAL:          {Name: "local", Fate: lvs.Sent, Help: "requests given to the director itself"},
	engineVerdictV_REPLIED:        {Name: "replied", Fate: lvs.Sent, Help: "answers of real servers sent to clients"},
	engineVerdictV_REPLIED_LOCAL:  {Name: "replied-local", Fate: lvs.Sent, Help: "answers of the director itself"},
	engineVerdictV_ICMP_FORWARDED: {Name: "icmp-forwarded", Fate: lvs.Sent, Help: "ICMP errors carried to the party they belong to"},
	engineVerdictV_NO_DESTINATION: {Name: "no-destination", Fate: lvs.Dropped, Drop: true, Help: "nobody may take a new connection: all real servers are down, quiesced or full; answered with port unreachable"},
	engineVerdictV_TTL_EXCEEDED:   {Name: "ttl-exceeded", Fate: lvs.Dropped, Drop: true, Help: "hop count ended at the director; a rise means a routing loop"},
	engineVerdictV_TOO_BIG:        {Name: "too-big", Fate: lvs.Dropped, Drop: true, Help: "larger than the path ahead; a request is answered so that the client sends smaller ones"},
	engineVerdictV_DEST_GONE:      {Name: "destination-gone", Fate: lvs.Dropped, Drop: true, Help: "of a connection whose real server was removed; quiesce before removing"},
	engineVerdictV_TABLE_FULL:     {Name: "table-full", Fate: lvs.Dropped, Drop: true, Help: "no room for a new connection; raise engine.connections, or engine.wide for persistent services"},
	engineVerdictV_NO_ROUTE:       {Name: "no-route", Fate: lvs.Dropped, Drop: true, Help: "no route back to the client, or no way to the real server known yet"},
	engineVerdictV_FORWARDING_OFF: {Name: "forwarding-off", Fate: lvs.Dropped, Drop: true, Help: "answers cannot be routed: set net.ipv4.ip_forward (net.ipv6.conf.all.forwarding) to 1"},
	engineVerdictV_FRAGMENT_LOST:  {Name: "fragment-lost", Fate: lvs.Passed, Help: "a later fragment that came before its first one"},
	engineVerdictV_LOOPBACK:       {Name: "loopback", Fate: lvs.Dropped, Drop: true, Help: "masquerading to a loopback address for another host cannot work; use gate, or an address of the director"},
	engineVerdictV_ICMP_LIMITED:   {Name: "icmp-limited", Fate: lvs.Dropped, Drop: true, Help: "dropped without the ICMP answer: more than 1,000 a second on one processor"},
	engineVerdictV_THROTTLED:      {Name: "throttled", Fate: lvs.Dropped, Drop: true, Help: "new flows turned away by drop_packet"},
	engineVerdictV_NO_CALL_ID:     {Name: "no-call-id", Fate: lvs.Dropped, Drop: true, Help: "the first datagram for a SIP service had no Call-ID to go by"},
	engineVerdictV_BYPASSED:       {Name: "bypassed", Fate: lvs.Passed, Help: "cache_bypass: nobody serves the firewall mark, so packets go where they were sent"},
	engineVerdictV_STRAY:          {Name: "stray", Fate: lvs.Dropped, Drop: true, Help: "nat_icmp_send: of a masqueraded real server, but of no connection; answered with port unreachable"},
	engineVerdictV_TUNNEL_ERROR:   {Name: "tunnel-error", Fate: lvs.Dropped, Drop: true, Help: "routers' words about tunnels to real servers, taken note of"},
	engineVerdictV_UNREACHABLE:    {Name: "unreachable", Fate: lvs.Dropped, Drop: true, Help: "no route to the real server, or its neighbour entry failed; answered with host unreachable"},
	engineVerdictV_HELPER:         {Name: "helper-failed", Fate: lvs.Dropped, Drop: true, Help: "the kernel refused to change the packet; memory is short"},
}
