package demo

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

const (
	reals = 3

	// What the configuration says; what is promised follows from it.
	checkInterval = time.Second
	checkTimeout  = time.Second
	outWithin     = checkInterval + checkTimeout

	sorry    = "sorry"
	slowPort = 8083
	slowness = 50 * time.Millisecond
	alive    = 8080 // where UDP servers tell that they live
)

func realName(i int) string { return fmt.Sprintf("real%d", i+1) }

// A service is one virtual service of the demo.
type service struct {
	protocol  lvs.Protocol
	v6        bool
	port      uint16
	real      uint16 // port of the real servers
	forward   string
	scheduler string
	weights   [reals]int
	fallback  bool
}

var equal = [reals]int{1, 1, 1}

// The virtual services. Each chapter that counts has its own, so that what
// others did before does not show.
var (
	masq4 = service{lvs.TCP, false, 80, 8080, "masq", "rr", equal, false}
	masq6 = service{lvs.TCP, true, 80, 8080, "masq", "rr", equal, false}
	gate4 = service{lvs.TCP, false, 81, 81, "gate", "rr", equal, false}
	gate6 = service{lvs.TCP, true, 81, 81, "gate", "rr", equal, false}

	udpMasq4 = service{lvs.UDP, false, 53, 8053, "masq", "rr", equal, false}
	udpMasq6 = service{lvs.UDP, true, 53, 8053, "masq", "rr", equal, false}
	udpGate4 = service{lvs.UDP, false, 54, 54, "gate", "rr", equal, false}
	udpGate6 = service{lvs.UDP, true, 54, 54, "gate", "rr", equal, false}

	weighted = service{lvs.TCP, false, 82, 8082, "masq", "wrr", [reals]int{3, 2, 1}, false}
	busy     = service{lvs.TCP, false, 83, slowPort, "masq", "wlc", equal, false}
	guarded  = service{lvs.TCP, false, 84, 8084, "masq", "rr", equal, true}

	services = []service{masq4, masq6, gate4, gate6, udpMasq4, udpMasq6, udpGate4, udpGate6, weighted, busy, guarded}
)

func (v service) virtual() netip.AddrPort {
	if v.v6 {
		return netip.AddrPortFrom(lab.VirtualAddr6, v.port)
	}
	return netip.AddrPortFrom(lab.VirtualAddr, v.port)
}

func (v service) realAddr(i int) netip.AddrPort {
	if v.v6 {
		return netip.AddrPortFrom(lab.RealAddr6(i), v.real)
	}
	return netip.AddrPortFrom(lab.RealAddr(i), v.real)
}

// key names the service as weir's API does.
func (v service) key() string {
	return lvs.ServiceKey{Protocol: v.protocol, Addr: v.virtual()}.String()
}

// listens are the addresses a real server answers this service on. Datagrams
// that come by direct routing must be answered from the virtual address, so
// their socket is bound to it; masqueraded ones come to the server's own.
func (v service) listens() (network, addr string) {
	network = strings.ToLower(v.protocol.String())
	if v.protocol == lvs.UDP && v.forward == "gate" {
		return network, v.virtual().String()
	}
	return network, fmt.Sprintf(":%d", v.real)
}

// configuration is the weir.yaml of the demo.
func configuration() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The configuration of weir demo. Change it and say: weir reload
engine: {connections: 200000, half_open: 8192}
defaults:
  check: {kind: http, request: /, receive: real, interval: %v, timeout: %v}
services:
`, checkInterval, checkTimeout)
	for _, v := range services {
		b.WriteString(v.yaml())
	}
	return b.String()
}

func (v service) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - listen: %s %v\n    scheduler: %s\n    forward: %s\n",
		strings.ToLower(v.protocol.String()), v.virtual(), v.scheduler, v.forward)
	if v.protocol == lvs.UDP {
		fmt.Fprintf(&b, "    check: {port: %d}\n", alive)
	}
	if v.fallback {
		b.WriteString("    fallback: {address: 127.0.0.1, forward: gate}\n")
	}
	b.WriteString("    destinations:\n")
	for i, w := range v.weights {
		fmt.Fprintf(&b, "      - {address: \"%v\", weight: %d}\n", v.realAddr(i), w)
	}
	return b.String()
}
