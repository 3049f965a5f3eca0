package ipvsadm

import "github.com/weir-lb/weir/internal/lvs"

// server reads -r. Its port is the service's if that came before and it has
// none of its own.
func (p *parser) server(value string, _ bool) *Failure {
	at, ok := p.address(value)
	if !ok {
		return usage("illegal real server address[:port] specified")
	}
	if !at.ported {
		at.port = p.port
	}
	p.real = at
	return nil
}

func (p *parser) gate(string, bool) *Failure { p.c.Destination.Forward = lvs.DirectRoute; return nil }
func (p *parser) ipip(string, bool) *Failure { p.c.Destination.Forward = lvs.Tunnel; return nil }
func (p *parser) masq(string, bool) *Failure { p.c.Destination.Forward = lvs.Masquerade; return nil }

func (p *parser) tunType(value string, _ bool) *Failure {
	for t := lvs.IPIP; t <= lvs.GRE; t++ {
		if t.String() == value {
			p.encap.Type = t
			return nil
		}
	}
	return usage("illegal tunnel type specified")
}

func (p *parser) tunPort(value string, _ bool) *Failure {
	n, ok := number(value, 1, 65535)
	if !ok {
		return usage("illegal tunnel port specified")
	}
	p.encap.Port = uint16(n)
	return nil
}

func (p *parser) tunNoSum(string, bool) *Failure { p.encap.Checksum = lvs.NoChecksum; return nil }
func (p *parser) tunSum(string, bool) *Failure   { p.encap.Checksum = lvs.Checksum; return nil }
func (p *parser) tunRemote(string, bool) *Failure {
	p.encap.Checksum = lvs.RemoteChecksum
	return nil
}

// tunnelOptions are the options each type of tunnel takes.
var tunnelOptions = map[lvs.TunnelType]rules{
	lvs.IPIP: {},
	lvs.GUE:  {optTunPort: required, optTunNoSum: exclusive, optTunSum: exclusive, optTunRemote: exclusive},
	lvs.GRE:  {optTunNoSum: exclusive, optTunSum: exclusive},
}

// checkServer holds a destination to what its address and its tunnel allow.
func (p *parser) checkServer() *Failure {
	if p.c.Verb != AddServer && p.c.Verb != EditServer {
		return nil
	}
	tunnel := p.c.Destination.Forward == lvs.Tunnel
	if !tunnel && lvs.FamilyOf(p.real.addr) != p.family {
		return usage("Different address family is allowed only for tunneling servers")
	}
	typed := p.given[optTunType] || p.given[optTunPort] || p.given[optTunNoSum] || p.given[optTunSum] || p.given[optTunRemote]
	if !tunnel {
		if typed {
			return usage("Tunnel options conflict with forward method")
		}
		return nil
	}
	allowed := tunnelOptions[p.encap.Type]
	return p.obeys(allowed, optTunPort, optTunRemote, p.encap.Type.String()+"' tunnel type")
}
