package ebpf

import (
	"fmt"
	"maps"

	"github.com/weir-lb/weir/internal/lvs"
)

// strays tells whether something is to be done about packets of real servers
// that belong to no connection: the SIP engine lets servers begin calls, and
// nat_icmp_send tells the others that nobody listens.
func (p *Plane) strays() bool {
	return p.tuning.Sysctls[lvs.NatICMPSend] != 0 || p.kinds.engines > 0
}

// tellReals keeps the engine's list of masqueraded real servers, which is
// empty unless somebody asks for it.
func (p *Plane) tellReals() error {
	if !p.strays() && len(p.reals) == 0 {
		return nil
	}
	want := p.wantedReals()
	for k := range p.reals {
		if _, stays := want[k]; !stays {
			if err := p.erase("reals", k); err != nil {
				return fmt.Errorf("forget a real server: %w", err)
			}
			delete(p.reals, k)
		}
	}
	for k, id := range want {
		if have, ok := p.reals[k]; ok && have == id {
			continue
		}
		if err := p.write("reals", k, id); err != nil {
			return err
		}
		if p.reals == nil {
			p.reals = make(map[engineServiceKey]uint32)
		}
		p.reals[k] = id
	}
	return nil
}

// wantedReals are the masqueraded real servers. Those of a mark are of every
// protocol. Where one stands in several services any of them may be the one, but
// that of an address before that of a mark, which takes no calls.
func (p *Plane) wantedReals() map[engineServiceKey]uint32 {
	addresses, marks := make(map[engineServiceKey]uint32), make(map[engineServiceKey]uint32)
	if !p.strays() {
		return addresses
	}
	for key, d := range p.table.dests.all() {
		if lvs.Forwarding(d.written.Forward) != lvs.Masquerade || !d.gone.IsZero() {
			continue
		}
		to, protocols := addresses, []lvs.Protocol{lvs.Protocol(d.written.Protocol)}
		if key.service.Mark != 0 {
			to, protocols = marks, []lvs.Protocol{lvs.TCP, lvs.UDP, lvs.SCTP}
		}
		for _, protocol := range protocols {
			k := engineServiceKey{Addr: d.written.Addr, Port: d.written.Port, Protocol: uint8(protocol)}
			if have, ok := to[k]; !ok || d.id < have {
				to[k] = d.id
			}
		}
	}
	maps.Copy(marks, addresses)
	return marks
}
