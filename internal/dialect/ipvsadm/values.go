package ipvsadm

import (
	"math"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

const (
	maxTimeout     = 31 * 24 * 3600 // seconds
	defaultTimeout = 360            // of -p without a value
	maxScheduler   = 15
	maxEngine      = 16
	maxInterface   = 15
)

// number reads a decimal number as strtol does: blanks and a sign may come
// first, nothing may follow.
func number(text string, low, high int64) (int64, bool) {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && !strings.ContainsRune(text, '_') && n >= low && n <= high
}

// atoi reads a number as atoi(3): what follows the digits does not count.
func atoi(text string) int {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || end == 0 && (text[0] == '-' || text[0] == '+')) {
		end++
	}
	n, _ := strconv.Atoi(text[:end]) // 0 without digits, and far out of range with too many
	return n
}

func (p *parser) tcp(value string, _ bool) *Failure  { return p.service(value, lvs.TCP) }
func (p *parser) udp(value string, _ bool) *Failure  { return p.service(value, lvs.UDP) }
func (p *parser) sctp(value string, _ bool) *Failure { return p.service(value, lvs.SCTP) }

func (p *parser) service(value string, protocol lvs.Protocol) *Failure {
	p.protocol = protocol
	at, ok := p.address(value)
	if !ok {
		return usage("illegal virtual server address[:port] specified")
	}
	p.addr, p.port, p.family = at.addr, at.port, lvs.FamilyOf(at.addr)
	if p.family == lvs.IPv6 {
		p.v6bits = 128
	}
	return nil
}

func (p *parser) mark(value string, _ bool) *Failure {
	n, ok := number(value, 1, math.MaxUint32)
	if !ok {
		return usage("invalid fwmark value `%s' specified", value)
	}
	p.fwmark, p.protocol = uint32(n), lvs.TCP
	return nil
}

func (p *parser) six(string, bool) *Failure {
	if p.fwmark == 0 {
		return usage("-6 used before -f\n")
	}
	p.family, p.v6bits = lvs.IPv6, 128
	return nil
}

func (p *parser) scheduler(value string, _ bool) *Failure {
	p.c.Service.Scheduler = lvs.Scheduler(value[:min(len(value), maxScheduler)])
	return nil
}

func (p *parser) persistent(value string, given bool) *Failure {
	n := int64(defaultTimeout)
	if given {
		var ok bool
		if n, ok = number(value, 1, maxTimeout); !ok {
			return usage("invalid timeout value `%s' specified", value)
		}
	}
	p.c.Service.Persistence.Timeout = uint32(n)
	return nil
}

func (p *parser) netmask(value string, _ bool) *Failure {
	if p.family == lvs.IPv6 {
		n := atoi(value)
		if n < 1 || n > 128 {
			return usage("illegal ipv6 netmask specified")
		}
		p.v6bits = n
		return nil
	}
	m, ok := p.host4(value)
	if !ok {
		return usage("illegal virtual server persistent mask specified")
	}
	p.v4mask = m
	return nil
}

func (p *parser) engine(value string, _ bool) *Failure {
	p.c.Service.Persistence.Engine = value[:min(len(value), maxEngine)]
	return nil
}

func (p *parser) schedFlags(value string, _ bool) *Failure {
	p.flags = value
	return nil
}

// schedulerFlags are the names of flags: the bit, and whose it is.
var schedulerFlags = map[string]struct {
	bit uint8
	of  lvs.Scheduler
}{
	"flag-1": {1, ""}, "flag-2": {2, ""}, "flag-3": {4, ""},
	"sh-fallback": {1, lvs.SH}, "sh-port": {2, lvs.SH}, "mh-fallback": {1, lvs.MH}, "mh-port": {2, lvs.MH},
}

// checkFlags reads the flags once the scheduler is known, wherever it stood.
func (p *parser) checkFlags() *Failure {
	for _, word := range strings.FieldsFunc(p.flags, func(r rune) bool { return r == ',' }) {
		f, ok := schedulerFlags[word]
		if !ok {
			return usage("invalid scheduler flag `%s'", word)
		}
		if f.of != "" && f.of != p.c.Service.Scheduler {
			return usage("incompatible scheduler flag `%s'", word)
		}
		p.c.Service.SchedFlags |= f.bit
	}
	return nil
}

func (p *parser) weight(value string, _ bool) *Failure {
	n, ok := number(value, 0, math.MaxInt32)
	if !ok {
		return usage("illegal weight specified")
	}
	p.c.Destination.Weight = int(n)
	return nil
}

func (p *parser) upper(value string, _ bool) *Failure {
	n, ok := number(value, 0, math.MaxInt32)
	if !ok {
		return usage("illegal u_threshold specified")
	}
	p.c.Destination.Upper = uint32(n)
	return nil
}

func (p *parser) lower(value string, _ bool) *Failure {
	n, ok := number(value, 0, math.MaxInt32)
	if !ok {
		return usage("illegal l_threshold specified")
	}
	p.c.Destination.Lower = uint32(n)
	return nil
}
