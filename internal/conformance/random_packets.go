package conformance

import (
	"fmt"
	"strings"
)

// packets sends some, and tells how many.
func (g *generator) packets(s *madeUp) int {
	if len(s.flows) == 0 || g.one(3) {
		return g.open(s)
	}
	f := s.flows[g.IntN(len(s.flows))]
	switch {
	case g.one(12):
		g.trouble(s, f)
	case g.one(3) && g.answered(s, f):
	default:
		g.say("%s:%d > %s %s%s", f.client, f.port, f.to, g.request(f.to.protocol), g.extras())
	}
	return 1
}

// answered has one of the servers answer, if it is one that answers by way of
// the director.
func (g *generator) answered(s *madeUp, f flow) bool {
	d, ok := g.masked(s)
	if ok {
		g.say("%s:%s > %s:%d %s", d.host, d.portFor(f.to), f.client, f.port, g.answer(f.to.protocol))
	}
	return ok
}

func (g *generator) masked(s *madeUp) (d madeUpDest, ok bool) {
	if len(s.dests) == 0 {
		return d, false
	}
	d = s.dests[g.IntN(len(s.dests))]
	return d, strings.HasPrefix(d.how, "-m")
}

// trouble is an ICMP error: of the client, or a router on its side, about an
// answer, or of a server about a request.
func (g *generator) trouble(s *madeUp, f flow) {
	kind := pick(g, "3/1", "3/3", "11/0")
	if g.v6 {
		kind = pick(g, "1/0", "1/4", "3/0")
	}
	word := quotable[f.to.protocol]
	if d, ok := g.masked(s); ok && g.one(2) {
		g.say("%s > %s icmp %s quoting %s:%d > %s:%s %s", d.host, f.client, kind, f.client, f.port, d.host, d.portFor(f.to), word)
		return
	}
	g.say("%s > %s icmp %s quoting %s > %s:%d %s", f.client, f.to.address, kind, f.to, f.client, f.port, word)
}

// quotable is what an error quotes.
var quotable = map[string]string{"tcp": "ACK", "udp": "udp data=20", "sctp": "sctp DATA data=20"}

// open begins one connection or a few. Only where all servers stay may a
// port be used again by open.
func (g *generator) open(s *madeUp) int {
	client, to, n := pick(g, "client", "client2", "client3", "client17"), pick(g, s.targets...), 1+g.IntN(4)
	first := s.first
	s.first += n
	for p := first; p < first+n; p++ {
		s.flows = append(s.flows, flow{client, p, to})
	}
	g.say("%s:%d..%d > %s %s", client, first, first+n-1, to, g.opening(to.protocol))
	return n
}

func (g *generator) opening(protocol string) string {
	switch {
	case protocol == "udp":
		return fmt.Sprintf("udp data=%d", g.IntN(40))
	case g.sloppy && g.one(2):
		return g.request(protocol)
	case protocol == "sctp":
		return "sctp INIT data=16"
	}
	return "SYN"
}

// request is what a client says on a connection. What opens one again is only
// said where no server drains: weir begins anew there, IPVS does not.
func (g *generator) request(protocol string) string {
	words := []string{"ACK", "ACK", "ACK", "PSH ACK data=100", "ACK data=1200", "FIN ACK", "FIN ACK", "RST", "RST ACK", "NULL"}
	again := []string{"SYN", "SYN", "SYN ACK"}
	switch protocol {
	case "udp":
		return fmt.Sprintf("udp data=%d", g.IntN(1200))
	case "sctp":
		words = []string{"sctp COOKIE-ECHO data=8", "sctp COOKIE-ECHO data=8", "sctp DATA data=100", "sctp SACK DATA data=7", "sctp HEARTBEAT",
			"sctp SHUTDOWN", "sctp SHUTDOWN-ACK", "sctp SHUTDOWN-COMPLETE", "sctp ERROR", "sctp ABORT"}
		again = []string{"sctp INIT data=16"}
	}
	if !g.drains {
		words = append(words, again...)
	}
	return pick(g, words...)
}

func (g *generator) answer(protocol string) string {
	switch protocol {
	case "udp":
		return fmt.Sprintf("udp data=%d", g.IntN(1200))
	case "sctp":
		return "sctp " + pick(g, "INIT-ACK data=40", "INIT-ACK data=40", "COOKIE-ACK", "DATA data=300", "SACK", "SHUTDOWN", "SHUTDOWN-ACK", "ABORT")
	}
	return pick(g, "SYN ACK", "SYN ACK", "ACK", "ACK data=500", "FIN ACK", "RST", "RST ACK")
}

// extras are what a router or a client's stack writes into a header.
func (g *generator) extras() string {
	switch n := g.IntN(18); {
	case n == 0 && !g.stats:
		return " ttl=1"
	case n == 1:
		return fmt.Sprintf(" ttl=%d", 2+g.IntN(250))
	case n == 2:
		return fmt.Sprintf(" tos=%d", g.IntN(256))
	case n == 3:
		return " df"
	case n == 4:
		return " options"
	}
	return ""
}
