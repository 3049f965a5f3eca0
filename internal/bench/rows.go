package bench

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// A row is one road of a packet through the engine, and how to tell that a
// packet took it.
type row struct {
	name    string
	service lvs.Service
	opening []frame // what makes a flow known, one after the other, for each flow
	packet  frame
	reply   bool   // the packet is a real server's
	anew    bool   // each packet is a flow of its own
	verdict string // what the engine must count for each packet
	head    bool   // room is made in front of the packet
	evict   bool   // flows push each other out; their number says nothing
}

// key is the service's, whose port tells the rows apart in a trace.
func key(p lvs.Protocol, a netip.Addr) lvs.ServiceKey {
	return lvs.ServiceKey{Protocol: p, Addr: netip.AddrPortFrom(a, 80)}
}

// service has n destinations that take requests by one method.
func service(p lvs.Protocol, s lvs.Scheduler, f lvs.Forwarding, n int, v6 bool) lvs.Service {
	svc := lvs.Service{Key: key(p, vip4), Scheduler: s}
	if v6 {
		svc.Key = key(p, vip6)
	}
	port := uint16(80)
	if f == lvs.Masquerade {
		port = 8080
	}
	for i := range n {
		svc.Destinations = append(svc.Destinations, lvs.Destination{Addr: netip.AddrPortFrom(server(i, v6), port), Weight: 1, Forward: f})
	}
	return svc
}

func server(i int, v6 bool) netip.Addr {
	if v6 {
		a := netip.MustParseAddr("2001:db8:2::").As16()
		a[14], a[15] = byte((i+1)>>8), byte(i+1)
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, 1, byte((i + 1) >> 8), byte(i + 1)})
}

// request is a client's packet to a service; the port is the dispatcher's.
func request(s lvs.Service, flags uint8) frame {
	client := client4
	if s.Key.Addr.Addr().Is6() {
		client = client6
	}
	return frame{protocol: s.Key.Protocol, from: netip.AddrPortFrom(client, 0), to: s.Key.Addr, flags: flags}
}

// answer is a real server's packet to a client.
func answer(s lvs.Service, flags uint8) frame {
	f := request(s, flags)
	return frame{protocol: f.protocol, from: s.Destinations[0].Addr, to: f.from, flags: flags}
}

func through(s lvs.Service, e lvs.Encap) lvs.Service {
	for i := range s.Destinations {
		s.Destinations[i].Encap = e
	}
	return s
}

// persistent has addresses of its own: whoever was once in the wide table is
// looked for there for a while.
func persistent(s lvs.Service) lvs.Service {
	s.Key.Addr = netip.AddrPortFrom(s.Key.Addr.Addr().Next(), s.Key.Addr.Port())
	for i, d := range s.Destinations {
		a := d.Addr.Addr().As4()
		a[1]++
		s.Destinations[i].Addr = netip.AddrPortFrom(netip.AddrFrom4(a), d.Addr.Port())
	}
	s.Persistence = lvs.Persistence{Timeout: 3600, Mask: lvs.MaskOf(lvs.IPv4, 32)}
	return s
}

// established is a row of a known connection's packets.
func established(name string, s lvs.Service) row {
	r := row{name: name, service: s, verdict: "forwarded", packet: request(s, ack)}
	r.opening = []frame{request(s, syn), request(s, ack)}
	if s.Key.Protocol == lvs.UDP {
		r.opening = r.opening[:1]
	}
	r.head = s.Destinations[0].Forward == lvs.Tunnel
	return r
}

// opens is a row of packets that each open a connection.
func opens(name string, s lvs.Service) row {
	return row{name: name, service: s, verdict: "forwarded", packet: request(s, syn), anew: true}
}

// known are the rows that are measured with several numbers of flows.
func known() []row {
	gate := service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false)
	masq := service(lvs.TCP, lvs.WLC, lvs.Masquerade, 3, false)
	tunnel := service(lvs.TCP, lvs.WLC, lvs.Tunnel, 3, false)
	back := service(lvs.TCP, lvs.WLC, lvs.Masquerade, 1, false)
	gue := lvs.Encap{Type: lvs.GUE, Port: 6080, Checksum: lvs.Checksum}
	gre := lvs.Encap{Type: lvs.GRE}
	reply := established("masq, reply", back)
	reply.packet, reply.reply, reply.verdict = answer(back, ack), true, "replied"
	other := established("not a service's", gate)
	other.packet = frame{protocol: lvs.TCP, from: netip.AddrPortFrom(client4, 0), to: netip.AddrPortFrom(other4, 80), flags: ack}
	other.verdict = "not-ours"
	return []row{
		established("gate", gate),
		established("masq, request", masq),
		reply,
		established("ipip", tunnel),
		established("gue, checksum", through(service(lvs.TCP, lvs.WLC, lvs.Tunnel, 3, false), gue)),
		established("gre", through(service(lvs.TCP, lvs.WLC, lvs.Tunnel, 3, false), gre)),
		established("gate, UDP", service(lvs.UDP, lvs.WLC, lvs.DirectRoute, 3, false)),
		established("gate, IPv6", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, true)),
		established("masq, IPv6, request", service(lvs.TCP, lvs.WLC, lvs.Masquerade, 3, true)),
		established("gate, persistent", persistent(service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false))),
		other,
	}
}

// fresh are the rows whose packets are all of new flows.
func fresh() []row {
	return []row{
		opens("new flow, rr, 3 destinations", service(lvs.TCP, lvs.RR, lvs.DirectRoute, 3, false)),
		opens("new flow, wlc, 3 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false)),
		opens("new flow, wlc, 100 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 100, false)),
		opens("new flow, wlc, 1000 destinations", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 1000, false)),
		opens("new flow, UDP, rr, 3 destinations", service(lvs.UDP, lvs.RR, lvs.DirectRoute, 3, false)),
		opens("new flow, persistent, rr, 3 destinations", persistent(service(lvs.TCP, lvs.RR, lvs.DirectRoute, 3, false))),
	}
}

// flood is a SYN flood into a half-open table that is full.
func flood() row {
	r := opens("SYN flood, half-open table full", service(lvs.TCP, lvs.RR, lvs.DirectRoute, 3, false))
	r.evict = true
	return r
}
