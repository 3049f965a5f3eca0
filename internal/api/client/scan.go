package client

import (
	"encoding"
	"slices"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A scan reads a service as weir itself writes it: without space, the keys in
// the order of the struct, words without escapes. For such text it takes a
// fourth of the time of a library that has to reckon with everything; any other it
// gives up, and the library reads it.
type scan struct {
	text []byte // what is left
	bad  bool   // it is not as expected
}

// scanService reads a service into s, whatever was in there.
func scanService(text []byte, s *Service) bool {
	x := scan{text: text}
	x.service(s)
	return !x.bad && len(x.text) == 0
}

func (x *scan) service(s *Service) {
	*s = Service{ServiceSpec: ServiceSpec{Scheduler: s.Scheduler}, Destinations: s.Destinations[:0]}
	x.word(`{"service":`, &s.Service)
	x.word(`,"scheduler":`, &s.Scheduler)
	scanNumber(x, `,"flags":`, &s.Flags)
	scanNumber(x, `,"persistence":`, &s.Persistence)
	x.textual(`,"persistence_mask":`, &s.Mask)
	x.word(`,"persistence_engine":`, &s.Engine)
	x.flag(`,"one_packet":`, &s.OnePacket)
	x.word(`,"tag":`, &s.Tag)
	x.word(`,"by_hand":`, &s.ByHand)
	x.flag(`,"fallback":`, &s.Fallback)
	x.counts(&s.Counters, &s.Rates)
	x.must(`,"destinations":[`)
	if s.Destinations == nil {
		s.Destinations = []Destination{} // a list without any is a list
	}
	for !x.bad && !x.has(`]`) {
		n := len(s.Destinations)
		if n > 0 {
			x.must(`,`)
		}
		s.Destinations = slices.Grow(s.Destinations, 1)[:n+1]
		x.destination(&s.Destinations[n])
	}
	x.must(`}`)
}

func (x *scan) destination(d *Destination) {
	*d = Destination{DestinationSpec: DestinationSpec{Destination: d.Destination, Forward: d.Forward}, Health: d.Health}
	x.word(`{"destination":`, &d.Destination)
	x.word(`,"forward":`, &d.Forward)
	scanNumber(x, `,"weight":`, &d.Weight)
	scanNumber(x, `,"upper":`, &d.Upper)
	scanNumber(x, `,"lower":`, &d.Lower)
	scanNumber(x, `,"tunnel_port":`, &d.TunnelPort)
	x.word(`,"tunnel_checksum":`, &d.TunnelSum)
	x.flag(`,"installed":`, &d.Installed)
	x.word(`,"health":`, &d.Health)
	x.word(`,"reason":`, &d.Reason)
	x.word(`,"why":`, &d.Why)
	if x.begins(`,"since":`) {
		d.Since = new(time.Time)
		x.textual(`,"since":`, d.Since)
	}
	scanNumber(x, `,"active":`, &d.Active)
	scanNumber(x, `,"inactive":`, &d.Inactive)
	scanNumber(x, `,"templates":`, &d.Templates)
	x.counts(&d.Counters, &d.Rates)
	x.must(`}`)
}

func (x *scan) counts(c *lvs.Counters, r *lvs.Rates) {
	x.must(`,"counters":{`)
	scanNumber(x, `"connections":`, &c.Connections)
	scanNumber(x, `,"in_packets":`, &c.InPackets)
	scanNumber(x, `,"in_bytes":`, &c.InBytes)
	scanNumber(x, `,"out_packets":`, &c.OutPackets)
	scanNumber(x, `,"out_bytes":`, &c.OutBytes)
	x.must(`},"rates":{`)
	scanNumber(x, `"connections":`, &r.Connections)
	scanNumber(x, `,"in_packets":`, &r.InPackets)
	scanNumber(x, `,"in_bytes":`, &r.InBytes)
	scanNumber(x, `,"out_packets":`, &r.OutPackets)
	scanNumber(x, `,"out_bytes":`, &r.OutBytes)
	x.must(`}`)
}

func (x *scan) begins(some string) bool {
	return len(x.text) >= len(some) && string(x.text[:len(some)]) == some
}

// has takes something off the text, if that begins with it.
func (x *scan) has(some string) bool {
	if !x.begins(some) {
		return false
	}
	x.text = x.text[len(some):]
	return true
}

func (x *scan) must(some string) {
	if !x.has(some) {
		x.bad = true
	}
}

// word reads a string behind a key and tells whether it was there. What is not
// there is empty, here and below: what should be and is not stops what comes next.
func (x *scan) word(key string, to *string) bool {
	if !x.has(key) {
		*to = ""
		return false
	}
	x.must(`"`)
	end := 0
	for end < len(x.text) && plain(x.text[end]) {
		end++
	}
	if string(x.text[:end]) != *to { // else it stands there since the one before
		*to = string(x.text[:end])
	}
	x.text = x.text[end:]
	x.must(`"`)
	return true
}

// plain is what stands for itself in a JSON string.
func plain(b byte) bool { return b >= ' ' && b <= '~' && b != '"' && b != '\\' }

func (x *scan) flag(key string, to *bool) {
	if !x.has(key) {
		return
	}
	if *to = x.has(`true`); !*to {
		x.must(`false`)
	}
}

// textual reads what has a text of its own.
func (x *scan) textual(key string, to encoding.TextUnmarshaler) {
	var word string
	if x.word(key, &word) {
		x.bad = x.bad || word == "" || to.UnmarshalText([]byte(word)) != nil
	}
}

// scanNumber reads a number that fits.
func scanNumber[T int | uint8 | uint16 | uint32 | uint64](x *scan, key string, to *T) {
	if !x.has(key) {
		return
	}
	var n uint64
	digits := 0
	for digits < len(x.text) && x.text[digits]-'0' <= 9 {
		n = 10*n + uint64(x.text[digits]-'0')
		digits++
	}
	*to = T(n)
	const most = 18 // digits that fit, whatever they are
	x.bad = x.bad || digits == 0 || digits > most || uint64(*to) != n || digits > 1 && x.text[0] == '0'
	x.text = x.text[digits:]
}
