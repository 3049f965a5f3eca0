package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A generator makes up a scenario: a table, packets of some clients and the
// servers' answers, and changes in between. It keeps away from everything
// docs/differences.md lists, so whatever comes of it, the two must agree.
type generator struct {
	*rand.Rand
	lines    []string
	services []*madeUp
	stats    bool // counters are looked at: nothing the director answers itself
	drains   bool // weights go to 0, servers go: then no port is used twice
}

// A madeUp is one service of the scenario.
type madeUp struct {
	at        string // "-t vip:80"
	udp       bool
	onePacket bool
	address   string // "vip:80" with the port its packets go to
	dests     []madeUpDest
	first     int // port of its clients; no two services share one
	flows     []flow
}

type madeUpDest struct {
	name   string // "rs1:80"
	how    string // "-m", "-i --tun-type gre"
	weight int
}

// A flow is a client's port. Where it is led nobody here knows; answers come
// from any server, and are one of this flow with luck.
type flow struct {
	client string
	port   int
}

// Random is the text of the scenario that belongs to a seed.
func Random(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x77656972))}
	g.stats, g.drains = g.IntN(6) == 0, g.IntN(3) > 0
	g.say("# made up from seed %d", seed)
	g.say("vary family %s", []string{"v4", "v6"}[g.IntN(2)])
	for range 1 + g.IntN(2) {
		g.service()
	}
	for sent := 0; sent < 24; {
		s := g.services[g.IntN(len(g.services))]
		switch n := g.IntN(20); {
		case n < 2:
			g.change(s)
		case n == 2:
			g.say("look")
		default:
			sent += g.packets(s)
		}
	}
	if g.stats {
		g.say("stats")
	}
	return strings.Join(g.lines, "\n") + "\n"
}

func (g *generator) say(format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf(format, args...))
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// twos draws lots, so it is not among them.
var randomSchedulers = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "dh", "sh", "sh -b sh-port", "sh -b sh-fallback,sh-port",
	"mh", "mh -b mh-port", "mh -b mh-fallback", "lblc", "lblcr"}

func (g *generator) service() {
	s := &madeUp{first: 1000 * (1 + len(g.services)), udp: g.IntN(3) == 0}
	address := pick(g, "vip", "vip2")
	port := 80
	s.at = "-t"
	if s.udp {
		port, s.at = 53, "-u"
	}
	port += len(g.services)
	s.address = fmt.Sprintf("%s:%d", address, port)
	line := fmt.Sprintf("%s %s:%d", s.at, address, port)
	s.at = line
	line += " -s " + pick(g, randomSchedulers...)
	switch n := g.IntN(8); {
	case n == 0:
		line += fmt.Sprintf(" -p %d", pick(g, 30, 300))
		if g.IntN(2) == 0 && g.lines[1] == "vary family v4" {
			line += " -M 255.255.255." + pick(g, "240", "0", "254")
		}
	case n == 1 && s.udp && !g.stats:
		line, s.onePacket = line+" -o", true
	}
	g.say("-A %s", line)
	g.services = append(g.services, s)
	for n := range 1 + g.IntN(reals) {
		d := madeUpDest{name: fmt.Sprintf("rs%d:%d", n+1, port), weight: pick(g, 1, 1, 2, 3, 7)}
		switch d.how = pick(g, "-m", "-m", "-g", "-i"); {
		case d.how == "-m" && g.IntN(4) == 0:
			d.name = fmt.Sprintf("rs%d:%d", n+1, 8000+port)
		case d.how == "-i":
			d.how += pick(g, "", " --tun-type gue --tun-port 6080", " --tun-type gre", " --tun-type gre --tun-csum", " --tun-type gue --tun-port 6080 --tun-csum")
		}
		limits := ""
		if g.IntN(5) == 0 {
			upper := 2 + g.IntN(4)
			limits = fmt.Sprintf(" -x %d -y %d", upper, g.IntN(upper))
		}
		g.add(s, d, limits)
	}
}

func (g *generator) add(s *madeUp, d madeUpDest, limits string) {
	s.dests = append(s.dests, d)
	g.say("-a %s -r %s %s -w %d%s", s.at, d.name, d.how, d.weight, limits)
}

// change edits a weight, or takes a server out or puts it back.
func (g *generator) change(s *madeUp) {
	if len(s.dests) == 0 {
		return
	}
	i := g.IntN(len(s.dests))
	d := &s.dests[i]
	switch n := g.IntN(5); {
	case n == 0 && g.drains && !g.stats:
		g.say("-d %s -r %s", s.at, d.name)
		gone := *d
		s.dests = slices.Delete(s.dests, i, i+1)
		if g.IntN(2) == 0 {
			g.add(s, gone, "")
		}
	case n == 1 && g.drains:
		d.weight = 0
		g.edit(s, *d)
	default:
		d.weight = 1 + g.IntN(9)
		g.edit(s, *d)
	}
}

func (g *generator) edit(s *madeUp, d madeUpDest) {
	g.say("-e %s -r %s %s -w %d", s.at, d.name, d.how, d.weight)
}

// packets sends some, and tells how many.
func (g *generator) packets(s *madeUp) int {
	if len(s.flows) == 0 || g.IntN(3) == 0 {
		return g.open(s)
	}
	f := s.flows[g.IntN(len(s.flows))]
	if g.IntN(3) == 0 && len(s.dests) > 0 {
		if d := s.dests[g.IntN(len(s.dests))]; strings.HasPrefix(d.how, "-m") {
			g.say("%s > %s:%d %s", d.name, f.client, f.port, g.answer(s))
			return 1
		}
	}
	g.say("%s:%d > %s %s%s", f.client, f.port, s.address, g.request(s), g.extras())
	return 1
}

// open begins one connection or a few. Only where all servers stay may a
// port be used again by open.
func (g *generator) open(s *madeUp) int {
	client := pick(g, "client", "client2", "client3", "client17")
	word, n := "SYN", 1+g.IntN(4)
	if s.udp {
		word = fmt.Sprintf("udp data=%d", g.IntN(40))
	}
	first := s.first
	s.first += n
	for p := first; p < first+n; p++ {
		s.flows = append(s.flows, flow{client, p})
	}
	g.say("%s:%d..%d > %s %s", client, first, first+n-1, s.address, word)
	return n
}

func (g *generator) request(s *madeUp) string {
	if s.udp {
		return fmt.Sprintf("udp data=%d", g.IntN(1200))
	}
	words := []string{"ACK", "ACK", "ACK", "PSH ACK data=100", "ACK data=1200", "FIN ACK", "FIN ACK", "RST", "RST ACK", "NULL"}
	if !g.drains { // a SYN begins anew where weir has a server drained
		words = append(words, "SYN", "SYN", "SYN ACK")
	}
	return pick(g, words...)
}

func (g *generator) answer(s *madeUp) string {
	if s.udp {
		return fmt.Sprintf("udp data=%d", g.IntN(1200))
	}
	return pick(g, "SYN ACK", "SYN ACK", "ACK", "ACK data=500", "FIN ACK", "RST", "RST ACK")
}

// extras are what a router or a client's stack writes into a header.
func (g *generator) extras() string {
	switch n := g.IntN(16); {
	case n == 0 && !g.stats:
		return " ttl=1"
	case n == 1:
		return fmt.Sprintf(" ttl=%d", 2+g.IntN(250))
	case n == 2:
		return fmt.Sprintf(" tos=%d", g.IntN(256))
	case n == 3:
		return " df"
	}
	return ""
}
