package bench

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

var native = binary.NativeEndian

// What is in Katran's tables (balancer_structs.h, balancer_consts.h). It has
// three programs: of GUE, of no limit for new flows, and the usual one.
const (
	katranVIPs     = 512
	katranRing     = 65537
	katranGUEBytes = 20 + 8
)

func katran() peer {
	return peer{
		name: "Katran", program: "balancer_ingress",
		object: func(m match) string {
			switch {
			case m.anew:
				return "katran-new.o"
			case m.grows["Katran"] == katranGUEBytes:
				return "katran-gue.o"
			}
			return "katran.o"
		},
		pace: 120_000,
		fill: fillKatran,
		missed: func(c *ebpf.Collection) (uint64, error) {
			return summed(c.Maps["stats"], uint32(katranVIPs), 1)
		},
	}
}

func fillKatran(c *ebpf.Collection, m match) error {
	vip := m.service.Key.Addr
	key := make([]byte, 20)
	copy(key, vip.Addr().AsSlice())
	binary.BigEndian.PutUint16(key[16:], vip.Port())
	key[18] = byte(m.service.Key.Protocol)
	if err := c.Maps["vip_map"].Put(key, make([]byte, 8)); err != nil {
		return fmt.Errorf("vip_map: %w", err)
	}
	places, reals := make([]uint32, katranRing), make([]uint32, katranRing)
	for i := range places {
		places[i], reals[i] = uint32(i), uint32(1+i%len(m.service.Destinations))
	}
	if _, err := c.Maps["ch_rings"].BatchUpdate(places, reals, nil); err != nil {
		return fmt.Errorf("ch_rings: %w", err)
	}
	for i, d := range m.service.Destinations {
		if err := c.Maps["reals"].Put(uint32(1+i), katranAddress(d.Addr.Addr())); err != nil {
			return fmt.Errorf("reals: %w", err)
		}
	}
	if src := c.Maps["pckt_srcs"]; src != nil {
		if err := src.Put(uint32(0), katranAddress(own4.Addr())); err != nil {
			return fmt.Errorf("pckt_srcs: %w", err)
		}
	}
	mac := make([]byte, 8)
	copy(mac, serverMAC[:])
	if err := c.Maps["ctl_array"].Put(uint32(0), mac); err != nil {
		return fmt.Errorf("ctl_array: %w", err)
	}
	return katranFlows(c, m)
}

func katranAddress(a netip.Addr) []byte {
	b := make([]byte, 20)
	copy(b, a.AsSlice())
	if a.Is6() {
		b[16] = 1
	}
	return b
}

// katranFlows gives this CPU its table of flows.
func katranFlows(c *ebpf.Collection, m match) error {
	flows, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 40, ValueSize: 16, MaxEntries: m.tables()})
	if err != nil {
		return fmt.Errorf("its flows: %w", err)
	}
	defer flows.Close()
	cpu, err := here()
	if err != nil {
		return err
	}
	if err := c.Maps["lru_mapping"].Put(cpu, flows); err != nil {
		return fmt.Errorf("lru_mapping: %w", err)
	}
	return nil
}
