package ldirectord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// maxRange bounds how many real servers one line may stand for.
const maxRange = 4096

// A real is one real= line, which may stand for a range of servers.
type real struct {
	st          statement
	first, last string // hosts; last is empty without a range
	port        string // empty: not said
	forward     lvs.Forwarding
	weight      int
	request     string
	receive     string
	own         bool // request and receive are said here
	lower       uint32
	upper       uint32
	upperFirst  bool // u: stands before l:
}

func (r *reader) real(st statement, v *virtual) {
	if want := map[lvs.Family]string{lvs.IPv4: "real", lvs.IPv6: "real6"}[v.head.family]; st.name != want && v.head.family != 0 {
		r.errorf(st, "%s does not fit into %s; use %s", st.name, v.st.name, want)
		return
	}
	x, err := parseReal(st, st.seen())
	if err != nil && strings.Contains(st.value, "#") {
		// A # in quotes: the original cuts there and refuses what is left.
		if whole, again := parseReal(st, st.value); again == nil {
			r.warnf(st, "%s holds a # in quotes; ldirectord begins a comment there and refuses the line, weir keeps it", st.name)
			x, err = whole, nil
		}
	}
	if err != nil {
		r.errorf(st, "%s: %v", st.name, err)
		return
	}
	if x.upperFirst {
		r.warnf(st, "u:%d stands before l:%d and is lost, as with ldirectord; write l: first", x.upper, x.lower)
		x.upper = 0
	}
	v.reals = append(v.reals, x)
}

var errReal = errors.New("want ADDRESS[:PORT] gate|masq|ipip [WEIGHT] [\"REQUEST\", \"RECEIVE\"] [l:N] [u:N]")

// parseReal reads the value of a real= line.
func parseReal(st statement, value string) (*real, error) {
	x := &real{st: st, weight: 1}
	c := &dialect.Cursor{Rest: value}
	x.first, _ = host(c)
	if x.first == "" {
		return nil, errReal
	}
	c.Blanks()
	if c.Take("->") {
		c.Blanks()
		if x.last, _ = host(c); x.last == "" {
			return nil, errReal
		}
	}
	if c.Take(":") {
		if x.port = c.While(portByte); x.port == "" {
			return nil, errReal
		}
	}
	// Where no port stood, the blanks before the method are gone already.
	c.Blanks()
	word := c.While(func(b byte) bool { return b >= 'a' && b <= 'z' })
	var err error
	if x.forward, err = lvs.ParseForwarding(word); err != nil {
		return nil, errReal
	}
	return x, x.options(c)
}

// options reads what follows the forwarding method.
func (x *real) options(c *dialect.Cursor) error {
	weighed := false
	for !c.Done() {
		if !c.Blanks() && c.Rest[0] != '"' {
			return around(c)
		}
		if c.Rest[0] == '#' {
			return nil
		}
		switch {
		case c.Rest[0] == '"' && !x.own:
			if err := x.question(c); err != nil {
				return err
			}
		case c.Take("l:"):
			n, err := threshold(c)
			if err != nil {
				return err
			}
			x.lower, x.upperFirst = n, x.upper != 0
		case c.Take("u:"):
			n, err := threshold(c)
			if err != nil {
				return err
			}
			x.upper = n
		case !weighed && leadingDigits(c.Rest) != "":
			digits := leadingDigits(c.Rest)
			n, err := strconv.Atoi(digits)
			if err != nil || n > config.MaxWeight {
				return fmt.Errorf("weight %s; from 0 to %d are possible", digits, config.MaxWeight)
			}
			c.Take(digits)
			x.weight, weighed = n, true
		default:
			return around(c)
		}
	}
	return nil
}

func around(c *dialect.Cursor) error {
	return fmt.Errorf("cannot read the line from %.40q on; %w", c.Rest, errReal)
}

// question reads "request", "receive"; a comma or a blank stands between.
func (x *real) question(c *dialect.Cursor) error {
	var ok, ok2 bool
	x.request, ok = c.Quoted()
	c.Blanks()
	if c.Take(",") {
		c.Blanks()
	}
	x.receive, ok2 = c.Quoted()
	if !ok || !ok2 {
		return errors.New("a request needs the text to receive beside it: \"REQUEST\", \"RECEIVE\"")
	}
	x.own = true
	return nil
}

func threshold(c *dialect.Cursor) (uint32, error) {
	digits := c.While(func(b byte) bool { return b >= '0' && b <= '9' })
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("threshold %q is no number of connections", digits)
	}
	return uint32(n), nil
}

// servers adds the real servers of one line to s.
func (r *reader) servers(v *virtual, x *real, check lvs.Check, s *config.Service) {
	hosts, err := r.hosts(v, x)
	if err != nil {
		r.errorf(x.st, "%s: %v", x.st.name, err)
		return
	}
	port := uint16(0)
	if x.port != "" {
		if port, err = r.names.PortNumber(x.port, v.portProtocol()); err != nil {
			r.errorf(x.st, "%s: %v", x.st.name, err)
			return
		}
	}
	if port == 0 {
		check.Port = r.portless(v, x, check, s.Key)
	}
	if x.own && usesQuestion(check.Kind) {
		check.Request = requestOf(check.Kind, x.request)
		if check.Receive, err = pattern(x.receive); err != nil {
			r.errorf(x.st, "receive: %v", err)
			check.Receive = ""
		}
	}
	for _, a := range hosts {
		one := config.Real{Place: x.st.at, Check: config.CheckOf(config.SettleCheck(check)), Destination: lvs.Destination{
			Addr: netip.AddrPortFrom(a, port), Forward: x.forward, Weight: x.weight, Upper: x.upper, Lower: x.lower}}
		if r.repeated(one, s) {
			continue
		}
		s.Reals = append(s.Reals, one)
	}
}

// repeated warns of a server that stands in its service with the same words
// already. The original keeps both and has one entry in the table for them.
func (r *reader) repeated(one config.Real, s *config.Service) bool {
	for _, have := range s.Reals {
		if have.Destination == one.Destination && have.Check == one.Check {
			r.problems.Warnf(one.Place, "real server %s is there already, in line %d; it is taken once", one.Addr, have.Place.Line)
			return true
		}
	}
	return false
}

// portless is the port to ask of a server written without one: that of the
// kind of service, if it has one.
func (r *reader) portless(v *virtual, x *real, check lvs.Check, key lvs.ServiceKey) uint16 {
	if key.Mark == 0 && x.port == "" {
		r.warnf(x.st, "%s has no port; ldirectord would write port 0 into the table, weir takes that of the virtual service, %d", x.st.name, key.Addr.Port())
	}
	if check.Port == 0 {
		return wellKnown(v.service)
	}
	return check.Port
}

// hosts are the addresses of a line: one, or all of a range.
func (r *reader) hosts(v *virtual, x *real) ([]netip.Addr, error) {
	first, err := r.names.Address(x.first, v.head.family)
	if err != nil || x.last == "" {
		return []netip.Addr{first}, err
	}
	if v.head.family == lvs.IPv6 {
		return nil, errors.New("a range of IPv6 addresses is not possible; write one line for each")
	}
	last, err := r.names.Address(x.last, v.head.family)
	if err != nil {
		return nil, err
	}
	from, to := number(first), number(last)
	if from > to {
		return nil, fmt.Errorf("the range ends before it begins: %s->%s", first, last)
	}
	if to-from >= maxRange {
		return nil, fmt.Errorf("the range %s->%s holds %d servers; at most %d are possible", first, last, to-from+1, maxRange)
	}
	if len(fmt.Sprint(from)) != len(fmt.Sprint(to)) {
		r.warnf(x.st, "weir reads all %d servers of this range; ldirectord compares its ends as texts and would read fewer or none", to-from+1)
	}
	out := make([]netip.Addr, 0, to-from+1)
	for a := first; ; a = a.Next() {
		out = append(out, a)
		if a == last {
			return out, nil
		}
	}
}

func number(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(binary.BigEndian.Uint32(b[:]))
}
