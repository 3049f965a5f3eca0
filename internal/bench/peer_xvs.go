package bench

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lvs"
)

// What is in xvs's tables (bpf/layer3.c, bpf/imports.h).
const (
	xvsVLAN     = 1
	xvsTunnel   = 64 // bytes
	xvsBackends = 256
	xvsPlaces   = 8192
	xvsActive   = 26 // byte of its settings
	xvsSettings = 32
	xvsNewFlows = 26 // word of its metrics
	xvsFlowKey  = 36
	xvsFlow     = 80
)

var xvsMethods = map[lvs.Forwarding]byte{lvs.DirectRoute: 0, lvs.Tunnel: 1}

func xvs() peer {
	return peer{
		name: "xvs", program: "xdp_forward_func",
		object: func(match) string { return "xvs.o" },
		fill:   fillXVS,
		before: xvsOn,
		missed: func(c *ebpf.Collection) (uint64, error) {
			return summed(c.Maps["global_metrics"], uint32(0), xvsNewFlows)
		},
	}
}

// xvsOn tells the program that its daemon lives: without a word from it for a
// minute it passes all packets.
func xvsOn(c *ebpf.Collection) error {
	on := make([]byte, xvsSettings)
	on[xvsActive] = 1
	return c.Maps["settings"].Put(uint32(0), everywhere(on))
}

// wide16 is an address as xvs has it: of IPv4 in the last four bytes.
func wide16(a netip.Addr) []byte {
	b := make([]byte, 16)
	copy(b[16-len(a.AsSlice()):], a.AsSlice())
	return b
}

func fillXVS(c *ebpf.Collection, m match) error {
	key := m.service.Key
	vip := wide16(key.Addr.Addr())
	if err := c.Maps["vip_metrics"].Put(vip, everywhere(make([]byte, c.Maps["vip_metrics"].ValueSize()))); err != nil {
		return fmt.Errorf("vip_metrics: %w", err)
	}
	name := native.AppendUint16(vip[:16:16], key.Addr.Port())
	name = native.AppendUint16(name, uint16(key.Protocol))
	if err := c.Maps["service_metrics"].Put(name, everywhere(make([]byte, c.Maps["service_metrics"].ValueSize()))); err != nil {
		return fmt.Errorf("service_metrics: %w", err)
	}
	service := make([]byte, xvsBackends*xvsTunnel+xvsPlaces)
	for i, d := range m.service.Destinations {
		copy(service[(1+i)*xvsTunnel:], xvsWay(d))
		pair := append(append(vip[:16:16], wide16(d.Addr.Addr())...), name[16:]...)
		if err := c.Maps["stats"].Put(pair, everywhere(make([]byte, c.Maps["stats"].ValueSize()))); err != nil {
			return fmt.Errorf("stats: %w", err)
		}
		if err := c.Maps["sessions"].Put(pair, everywhere(make([]byte, 8))); err != nil {
			return fmt.Errorf("sessions: %w", err)
		}
	}
	places := service[xvsBackends*xvsTunnel:]
	for i := range places {
		places[i] = byte(1 + i%len(m.service.Destinations))
	}
	if err := c.Maps["services"].Put(name, service); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	return xvsFlows(c, m)
}

// xvsWay is a tunnel_t: how packets get to a real server.
func xvsWay(d lvs.Destination) []byte {
	from := own4.Addr()
	if d.Addr.Addr().Is6() {
		from = own6.Addr()
	}
	b := append(wide16(d.Addr.Addr()), wide16(from)...)
	b = native.AppendUint16(b, d.Encap.Port)
	b = native.AppendUint16(b, 0)
	b = native.AppendUint16(b, xvsVLAN)
	method := xvsMethods[d.Forward]
	if d.Encap.Type == lvs.GUE {
		method = 4
	}
	b = append(b, method, 0)
	b = append(append(b, serverMAC[:]...), upMAC...)
	return append(b, make([]byte, xvsTunnel-len(b))...)
}

// xvsFlows gives it its tables of flows: one for each CPU, two for all.
func xvsFlows(c *ebpf.Collection, m match) error {
	for name, n := range map[string]int{"flows_tcp": ebpf.MustPossibleCPU(), "flows_shared": 2} {
		for i := range uint32(n) {
			flows, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: xvsFlowKey, ValueSize: xvsFlow, MaxEntries: m.tables()})
			if err != nil {
				return fmt.Errorf("its flows: %w", err)
			}
			err = c.Maps[name].Put(i, flows)
			flows.Close()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
