package ipvs

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// Connections implements dataplane.Observer from /proc/net/ip_vs_conn. That
// file does not say how a connection is forwarded: its destination does, if it
// still stands.
func (p *Plane) Connections(ctx context.Context, want lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error] {
	return func(yield func(lvs.Connection, error) bool) {
		w, err := p.ways(ctx)
		if err != nil {
			yield(lvs.Connection{}, err)
			return
		}
		f, err := p.space.open("net/ip_vs_conn", os.O_RDONLY)
		if err != nil {
			yield(lvs.Connection{}, fmt.Errorf("read the connections: %w", err))
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 0; lines.Scan() && ctx.Err() == nil; n++ {
			if n == 0 {
				continue // the titles
			}
			c, err := parseConnection(lines.Text())
			if err != nil {
				yield(lvs.Connection{}, err)
				return
			}
			if c.Forward = w.of(c); want.Match(c) && !yield(c, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(lvs.Connection{}, fmt.Errorf("read the connections: %w", err))
		}
	}
}

// ways are the forwarding methods of what stands.
type ways struct {
	at   map[way]lvs.Forwarding
	host map[netip.Addr]lvs.Forwarding // of all destinations of one address, if they agree
}

// A way is a destination as a connection tells it.
type way struct {
	virtual, destination netip.AddrPort
	protocol             lvs.Protocol
}

// of is the method of a connection. Those of services for every port and for
// firewall marks are known by the destination's address alone.
func (w ways) of(c lvs.Connection) lvs.Forwarding {
	if f, ok := w.at[way{c.Virtual, c.Destination, c.Protocol}]; ok {
		return f
	}
	if f, ok := w.host[c.Destination.Addr()]; ok {
		return f
	}
	return lvs.UnknownForwarding
}

func (p *Plane) ways(ctx context.Context) (ways, error) {
	all, err := p.recent(ctx)
	w := ways{map[way]lvs.Forwarding{}, map[netip.Addr]lvs.Forwarding{}}
	for _, f := range all {
		for _, d := range f.destinations {
			w.at[way{f.Key.Addr, d.Addr, f.Key.Protocol}] = d.Forward
			if other, ok := w.host[d.Addr.Addr()]; ok && other != d.Forward {
				w.host[d.Addr.Addr()] = lvs.UnknownForwarding
			} else {
				w.host[d.Addr.Addr()] = d.Forward
			}
		}
	}
	return w, err
}

// parseConnection reads a line of the file:
// "TCP 0A000096 03E9 0A00000A 0050 0A000132 1F90 SYN_RECV         59", and
// the name and data of a persistence engine behind it, if there is one.
func parseConnection(line string) (c lvs.Connection, err error) {
	f := strings.Fields(line)
	bad := fmt.Errorf("%w: a connection %.200q", errCodec, line)
	if len(f) < 9 {
		return c, bad
	}
	ok := true
	endpoint := func(i int) netip.AddrPort {
		a, fine := parseHexAddr(f[i])
		port, err := strconv.ParseUint(f[i+1], 16, 16)
		ok = ok && fine && err == nil
		return netip.AddrPortFrom(a, uint16(port))
	}
	c.Client, c.Virtual, c.Destination = endpoint(1), endpoint(3), endpoint(5)
	if f[0] != "IP" {
		var err error
		if c.Protocol, err = lvs.ParseProtocol(f[0]); err != nil {
			return c, fmt.Errorf("%w: %w", bad, err)
		}
	}
	left, err := strconv.ParseUint(f[8], 10, 32)
	if !ok || err != nil {
		return c, bad
	}
	c.Expires = time.Duration(left) * time.Second
	c.Template = c.Client.Port() == 0 && (c.Protocol == 0 || f[7] == "NONE" || f[7] == "ASSURED")
	if c.State, ok = stateOf(f[7], c); !ok {
		return c, bad
	}
	if len(f) > 10 {
		c.Call = f[10]
	}
	return c, nil
}

// stateOf is a state by its name.
func stateOf(name string, c lvs.Connection) (lvs.ConnState, bool) {
	if c.Template {
		if name == "ASSURED" {
			return lvs.StateEstablished, true // whatever is not none
		}
		return lvs.StateNone, true
	}
	for s := range lvs.ConnState(16) {
		if s.Name(c.Protocol) == name {
			return s, true
		}
	}
	return 0, false
}

// parseHexAddr reads an address as the kernel writes it: eight digits, or
// eight full groups between colons.
func parseHexAddr(text string) (netip.Addr, bool) {
	text = strings.Trim(text, "[]")
	if strings.Contains(text, ":") {
		a, err := netip.ParseAddr(text)
		return a, err == nil && a.Is6() && a.Zone() == ""
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b)), true
}
