package client

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A print writes a service as encoding/json does, to the byte, in a fourth of
// the time: most of it are numbers behind keys that are always the same.
type print struct {
	text []byte
	err  error
}

// AppendService appends a service as JSON, as a scan expects it.
func AppendService(text []byte, s *Service) ([]byte, error) {
	p := print{text: text}
	p.service(s)
	return p.text, p.err
}

func (p *print) service(s *Service) {
	p.word(`{"service":`, s.Service)
	p.wordIf(`,"scheduler":`, s.Scheduler)
	p.numberIf(`,"flags":`, uint64(s.Flags))
	p.numberIf(`,"persistence":`, uint64(s.Persistence))
	if s.Mask.IsValid() {
		p.word(`,"persistence_mask":`, s.Mask.String())
	}
	p.wordIf(`,"persistence_engine":`, s.Engine)
	if s.OnePacket {
		p.flag(`,"one_packet":`, true)
	}
	p.word(`,"tag":`, s.Tag)
	p.wordIf(`,"by_hand":`, s.ByHand)
	p.flag(`,"fallback":`, s.Fallback)
	p.counts(s.Counters, s.Rates)
	p.add(`,"destinations":[`)
	for i := range s.Destinations {
		if i > 0 {
			p.add(`,`)
		}
		p.destination(&s.Destinations[i])
	}
	p.add(`]}`)
}

func (p *print) destination(d *Destination) {
	p.word(`{"destination":`, d.Destination)
	p.wordIf(`,"forward":`, d.Forward)
	p.add(`,"weight":`)
	p.text = strconv.AppendInt(p.text, int64(d.Weight), 10)
	p.numberIf(`,"upper":`, uint64(d.Upper))
	p.numberIf(`,"lower":`, uint64(d.Lower))
	p.numberIf(`,"tunnel_port":`, uint64(d.TunnelPort))
	p.wordIf(`,"tunnel_checksum":`, d.TunnelSum)
	p.flag(`,"installed":`, d.Installed)
	p.word(`,"health":`, d.Health)
	p.wordIf(`,"reason":`, d.Reason)
	p.wordIf(`,"why":`, d.Why)
	if d.Since != nil {
		p.add(`,"since":"`)
		p.text = d.Since.AppendFormat(p.text, time.RFC3339Nano)
		p.add(`"`)
	}
	if d.Order != nil {
		p.add(`,"order":`)
		p.any(d.Order)
	}
	p.number(`,"active":`, uint64(d.Active))
	p.number(`,"inactive":`, uint64(d.Inactive))
	p.number(`,"templates":`, uint64(d.Templates))
	p.counts(d.Counters, d.Rates)
	p.add(`}`)
}

func (p *print) counts(c lvs.Counters, r lvs.Rates) {
	p.add(`,"counters":{`)
	p.five(c.Connections, c.InPackets, c.InBytes, c.OutPackets, c.OutBytes)
	p.add(`},"rates":{`)
	p.five(r.Connections, r.InPackets, r.InBytes, r.OutPackets, r.OutBytes)
	p.add(`}`)
}

func (p *print) five(connections, inPackets, inBytes, outPackets, outBytes uint64) {
	p.number(`"connections":`, connections)
	p.number(`,"in_packets":`, inPackets)
	p.number(`,"in_bytes":`, inBytes)
	p.number(`,"out_packets":`, outPackets)
	p.number(`,"out_bytes":`, outBytes)
}

func (p *print) add(some string) { p.text = append(p.text, some...) }

func (p *print) number(key string, n uint64) {
	p.add(key)
	p.text = strconv.AppendUint(p.text, n, 10)
}

func (p *print) numberIf(key string, n uint64) {
	if n != 0 {
		p.number(key, n)
	}
}

func (p *print) flag(key string, so bool) {
	p.add(key)
	p.text = strconv.AppendBool(p.text, so)
}

func (p *print) word(key, s string) {
	p.add(key)
	for i := range len(s) {
		if b := s[i]; !plain(b) || b == '<' || b == '>' || b == '&' {
			p.any(s)
			return
		}
	}
	p.add(`"`)
	p.add(s)
	p.add(`"`)
}

func (p *print) wordIf(key, s string) {
	if s != "" {
		p.word(key, s)
	}
}

// any leaves it to the library.
func (p *print) any(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		p.err = err
	}
	p.text = append(p.text, text...)
}
