package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

// timeouts are the seconds of IPVS for each TCP state, by its number.
var timeouts = [...]time.Duration{
	0: 2 * time.Second, 2: 120 * time.Second, 3: 60 * time.Second, 5: 120 * time.Second, 6: 10 * time.Second,
	7: 60 * time.Second, 8: 30 * time.Second, 9: 120 * time.Second, 10: 120 * time.Second,
}

// firstUnprivileged is net.ipv4.ip_unprivileged_port_start as it comes: ports
// below it are no FTP server's data ports.
const firstUnprivileged = 1024

// tune writes t into the engine's settings, as far as it is known without
// looking at the machine.
func tune(s *engineSettings, t lvs.Tuning) {
	for i, d := range timeouts {
		s.Timeout[i] = ticks(d)
	}
	s.Timeout[1], s.Timeout[4], s.Timeout[stateUDP] = ticks(t.Timeouts.TCP), ticks(t.Timeouts.TCPFin), ticks(t.Timeouts.UDP)
	s.Sys = 0
	for _, f := range []struct {
		of  lvs.Sysctl
		bit uint32
	}{
		{lvs.ExpireNodestConn, sysExpireNodest}, {lvs.ExpireQuiescentTemplate, sysExpireQuiescent},
		{lvs.SloppyTCP, sysSloppyTCP}, {lvs.SloppySCTP, sysSloppySCTP},
		{lvs.ScheduleICMP, sysScheduleICMP}, {lvs.CacheBypass, sysCacheBypass}, {lvs.NatICMPSend, sysNatICMPSend},
	} {
		if t.Sysctls[f.of] != 0 {
			s.Sys |= f.bit
		}
	}
	s.ReuseMode = uint32(t.Sysctls[lvs.ConnReuseMode])
	s.LblcExpiration = uint32(t.Sysctls[lvs.LblcExpiration])
	s.LblcrExpiration = uint32(t.Sysctls[lvs.LblcrExpiration])
	s.Unprivileged = firstUnprivileged
}

// Tune implements dataplane.Dataplane.
func (p *Plane) Tune(_ context.Context, t lvs.Tuning) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.engine.maps["rules"].MaxEntries(); uint32(len(t.Rules)) > n {
		return fmt.Errorf("%d rules give marks; the engine takes %d: %w", len(t.Rules), n, dataplane.ErrFull)
	}
	p.tuning = t
	p.tuning.Rules = slices.Clone(t.Rules)
	p.recount() // what a mark's packets may be for is what the rules say
	return errors.Join(p.retune(), p.refilter())
}

// retune brings the engine's settings in line with the wish and the table.
func (p *Plane) retune() error {
	rules := p.rules()
	for i, r := range rules {
		if i < len(p.ruled) && p.ruled[i] == r {
			continue
		}
		if err := p.write("rules", uint32(i), r); err != nil {
			return err
		}
	}
	p.ruled = rules
	want := p.engine.settings
	tune(&want, p.tuning)
	p.defend(&want)
	want.Rules = uint32(len(rules))
	want.Have = p.have()
	if err := p.tellReals(); err != nil {
		return err
	}
	if want == p.engine.settings {
		return nil
	}
	return p.settings(want)
}

// settings writes the settings, and remembers them once they are written.
func (p *Plane) settings(want engineSettings) error {
	if err := p.write(settingMap, uint32(0), want); err != nil {
		return err
	}
	p.engine.settings = want
	return nil
}

// tellKinds brings the settings in line with the kinds of services there are.
func (p *Plane) tellKinds() error {
	if have := p.have(); have != p.engine.settings.Have {
		settings := p.engine.settings
		settings.Have = have
		return p.settings(settings)
	}
	return nil
}

// kinds counts the services of each kind that packets must be told of.
type kinds struct{ marks, anyPort, ftp, engines int }

func (c *kinds) count(s lvs.Service, n int) {
	switch k := s.Key; {
	case k.Mark != 0:
		c.marks += n
	case k.Addr.Port() == 0:
		c.anyPort += n
	case isFTP(k):
		c.ftp += n
	}
	if s.Persistence.Engine != "" {
		c.engines += n
	}
}

// have are the kinds of services there are.
func (p *Plane) have() (have uint32) {
	if p.kinds.marks > 0 {
		have |= haveMarks
	}
	if p.kinds.anyPort > 0 {
		have |= haveAnyPort
	}
	if p.kinds.ftp > 0 {
		have |= haveFTP
	}
	if p.strays() {
		have |= haveStrays
	}
	return have
}

// rules are those of the classifier as the engine has them. One for an
// interface that is not there fits nothing and is left out.
func (p *Plane) rules() []engineRule {
	var out []engineRule
	for _, r := range p.tuning.Rules {
		e := engineRule{Mark: r.Mark, Protocol: uint8(r.Protocol)}
		e.SportFrom, e.SportTo = r.SourcePorts.Bounds()
		e.DportFrom, e.DportTo = r.Ports.Bounds()
		e.Saddr, e.Smask = network(r.From)
		e.Daddr, e.Dmask = network(r.To)
		if r.Interface != "" {
			for _, l := range p.links {
				if l.Name == r.Interface {
					e.Ifindex = uint32(l.Index)
				}
			}
			if e.Ifindex == 0 {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// network is a prefix as address and mask; none is zeros, which hold every
// address.
func network(p netip.Prefix) (addr, mask engineAddr) {
	if !p.IsValid() {
		return addr, mask
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return addrOf(p.Masked().Addr()), addrOf(lvs.MaskOf(lvs.IPv6, bits))
}
