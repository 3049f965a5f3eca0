package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A generator makes up a scenario: settings, a table, packets of some clients
// and the servers' answers, errors about both, and changes in between. It keeps
// away from everything docs/differences.md lists, so whatever comes of it, the
// two must agree.
type generator struct {
	*rand.Rand
	lines    []string
	services []*madeUp
	v6       bool
	stats    bool // counters are looked at: nothing the director answers itself
	drains   bool // weights go to 0, servers go: then no port is used twice
	sloppy   bool // any segment opens a connection
}

// A madeUp is one service of the scenario.
type madeUp struct {
	at        string // "-t vip:80"
	scheduler string
	flags     string   // what follows the scheduler: " -p 300"
	targets   []target // what its packets are sent to
	ownPort   string   // the port of its servers; "0" where it has none of its own
	dests     []madeUpDest
	first     int // port of its clients; no two services share one
	flows     []flow
}

// A target is a place packets of a service go to.
type target struct{ protocol, address, port string }

func (t target) String() string { return t.address + ":" + t.port }

type madeUpDest struct {
	host, port string
	how        string // "-m", "-i --tun-type gre"
	weight     int
	limits     string
}

func (d madeUpDest) String() string { return d.host + ":" + d.port }

// portFor is where packets to t arrive.
func (d madeUpDest) portFor(t target) string {
	if d.port == "0" {
		return t.port
	}
	return d.port
}

// A flow is a client's port. Where it is led nobody here knows; answers come
// from any server, and are one of this flow with luck.
type flow struct {
	client string
	port   int
	to     target
}

// Random is the text of the scenario that belongs to a seed.
func Random(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x77656972))}
	g.v6, g.stats, g.drains = g.one(2), g.one(6), !g.one(3)
	g.say("# made up from seed %d", seed)
	g.say("vary family %s", map[bool]string{false: "v4", true: "v6"}[g.v6])
	g.settings()
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

// one says yes one time in n.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// settings turns one of the settings over, in one scenario of four.
func (g *generator) settings() {
	if !g.one(4) {
		return
	}
	s := pick(g, "expire_quiescent_template 1", "conn_reuse_mode 0", "sloppy_tcp 1", "sloppy_sctp 1", "schedule_icmp 1", "nat_icmp_send 1")
	g.sloppy = strings.HasPrefix(s, "sloppy")
	g.say("sysctl %s", s)
}

// twos draws lots, so it is not among them.
var randomSchedulers = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "dh", "sh", "sh -b sh-port", "sh -b sh-fallback,sh-port",
	"mh", "mh -b mh-port", "mh -b mh-fallback", "lblc", "lblcr"}

func (g *generator) service() {
	n := len(g.services)
	s := &madeUp{first: 1000 * (1 + n), scheduler: pick(g, randomSchedulers...)}
	g.services = append(g.services, s)
	switch kind := g.IntN(12); {
	case kind < 5:
		g.single(s, "-t", "tcp", fmt.Sprint(80+n))
	case kind < 8:
		g.single(s, "-u", "udp", fmt.Sprint(53+n))
	case kind == 8 && !g.stats: // its first state lasts four seconds, two of which ip_vs's counters take
		g.single(s, "--sctp-service", "sctp", fmt.Sprint(80+n))
	case kind == 9:
		g.every(s, n)
	default:
		g.mark(s, n)
	}
	g.say("-A %s -s %s%s", s.at, s.scheduler, s.flags)
	for i := range 1 + g.IntN(reals) {
		g.add(s, g.dest(s, i+1))
	}
}

// single is a service with a port of its own.
func (g *generator) single(s *madeUp, flag, protocol, port string) {
	t := target{protocol, pick(g, "vip", "vip2"), port}
	s.at, s.ownPort, s.targets = fmt.Sprintf("%s %s", flag, t), port, []target{t}
	if g.one(7) {
		s.flags = g.persistence()
	}
	if protocol == "udp" && !g.stats && g.one(7) {
		s.flags += " -o"
	}
}

// every is a service for every port of one address. It is not there twice.
func (g *generator) every(s *madeUp, n int) {
	flag, protocol := "-t", "tcp"
	if n > 0 {
		flag, protocol = "-u", "udp"
	}
	s.at, s.ownPort, s.flags = flag+" vip:0", "0", g.persistence()
	for _, port := range []string{"22", "443", "5000"} {
		s.targets = append(s.targets, target{protocol, "vip", port})
	}
}

// mark is a service of what is marked: ports, protocols and addresses of which
// no other service is.
func (g *generator) mark(s *madeUp, n int) {
	s.at, s.ownPort = fmt.Sprintf("-f %d", 7+n), "0"
	for _, t := range []target{{"tcp", "vip", "8080"}, {"tcp", "vip2", "8443"}, {"udp", "vip", "5060"}} {
		if len(s.targets) == 0 || g.one(2) {
			t.port = fmt.Sprintf("%s%d", t.port[:3], n)
			g.say("mark %d %s %s", 7+n, t.protocol, t)
			s.targets = append(s.targets, t)
		}
	}
	if g.one(2) {
		s.flags = g.persistence()
	}
}

func (g *generator) persistence() string {
	p := fmt.Sprintf(" -p %d", pick(g, 30, 300))
	switch {
	case g.one(2):
	case g.v6:
		p += " -M " + pick(g, "124", "64", "127")
	default:
		p += " -M 255.255.255." + pick(g, "240", "0", "254")
	}
	return p
}

func (g *generator) dest(s *madeUp, n int) madeUpDest {
	d := madeUpDest{host: fmt.Sprintf("rs%d", n), port: s.ownPort, weight: pick(g, 1, 1, 2, 3, 7)}
	switch d.how = pick(g, "-m", "-m", "-g", "-i"); {
	case d.how == "-m" && s.ownPort != "0" && g.one(4):
		d.port = "80" + s.ownPort
	case d.how == "-i":
		d.how += pick(g, "", " --tun-type gue --tun-port 6080", " --tun-type gre", " --tun-type gre --tun-csum", " --tun-type gue --tun-port 6080 --tun-csum")
	}
	if g.one(5) {
		d.limits = g.thresholds()
	}
	return d
}

func (g *generator) thresholds() string {
	upper := 2 + g.IntN(4)
	return fmt.Sprintf(" -x %d -y %d", upper, g.IntN(upper))
}

func (g *generator) add(s *madeUp, d madeUpDest) {
	s.dests = append(s.dests, d)
	g.say("-a %s -r %s %s -w %d%s", s.at, d, d.how, d.weight, d.limits)
}

// change edits a service or one of its servers, or takes one out and perhaps
// puts it back.
func (g *generator) change(s *madeUp) {
	if g.one(8) {
		s.scheduler = pick(g, randomSchedulers...)
		g.say("-E %s -s %s%s", s.at, s.scheduler, s.flags)
		return
	}
	if len(s.dests) == 0 {
		return
	}
	i := g.IntN(len(s.dests))
	d := &s.dests[i]
	switch n := g.IntN(6); {
	case n == 0 && g.drains && !g.stats:
		g.say("-d %s -r %s", s.at, d)
		gone := *d
		s.dests = slices.Delete(s.dests, i, i+1)
		if g.one(2) {
			gone.limits = ""
			g.add(s, gone)
		}
	case n == 1 && g.drains && d.weight != 0:
		d.weight = 0
		g.edit(s, *d)
	case n == 2:
		d.limits = g.thresholds()
		fallthrough // an edit that changes nothing is none
	default:
		d.weight = 1 + (d.weight+g.IntN(8))%9
		g.edit(s, *d)
	}
}

func (g *generator) edit(s *madeUp, d madeUpDest) {
	g.say("-e %s -r %s %s -w %d%s", s.at, d, d.how, d.weight, d.limits)
}
