package bench

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cilium/ebpf"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

// Memory measures what a connection takes, by the kernel's own account of the
// engine's maps, with as many connections in them as they were made for.
func Memory(ctx context.Context, connections int, log *slog.Logger) (s Series, err error) {
	s = Series{Name: "memory", Title: "Memory of a connection", Unit: "bytes", Axis: "",
		Method: fmt.Sprintf("The kernel's account (memlock) of the engine's maps, divided by the %s connections the table was made for, which were all there when it was read. "+
			"“Its tables” are those that grow with the number of connections and are not of the other address family; “all that grows” has the other family's, too, and those for half-open connections; “all maps” is everything the engine holds, "+
			"with room for as many connections of the other family and for 16,384 services and 131,072 destinations. The wide table is the one for persistent services. “No room for others” is `connections_ipv6: 1024` and `wide: 1024` in weir.yaml.", grouped(int64(connections)))}
	err = pinned(func(*lab.Host) error {
		small, err := footprint(ctx, dataplane.Options{Connections: 1024, HalfOpen: 1024, Wide: 1024}, log, nil)
		if err != nil {
			return err
		}
		for _, k := range kinds() {
			full, err := footprint(ctx, dataplane.Options{Connections: connections, Connections6: k.spare, Wide: k.spare + k.wide*connections}, log, func(st *stage) error {
				return st.filled(ctx, k.row, uint32(connections))
			})
			if err != nil {
				return fmt.Errorf("%s: %w", k.row.name, err)
			}
			own, more, all := full.beyond(small, k.skip), full.beyond(small, nothing), full.sum()
			for _, c := range []struct {
				name  string
				bytes uint64
			}{{"its tables", own}, {"all that grows", more}, {"all maps", all}} {
				x := float64(c.bytes) / float64(connections)
				s.Values = append(s.Values, Value{Row: k.row.name, Column: c.name, Figure: Figure{x, x, x}})
			}
		}
		return nil
	})
	return s, err
}

func nothing(string) bool { return false }

// MemoryGrowth is what tables of several sizes take for each connection.
func MemoryGrowth(ctx context.Context, sizes []int, log *slog.Logger) (s Series, err error) {
	s = Series{Name: "memory-growth", Title: "Memory of a connection, by size of the table", Unit: "bytes", Axis: "connections",
		Method: "As above, all that grows but the half-open ones, of tables made for so many connections: what one takes must not depend on how many there are."}
	err = pinned(func(*lab.Host) error {
		none, err := footprint(ctx, dataplane.Options{Connections: 1024, HalfOpen: 1024, Wide: 1024}, log, nil)
		if err != nil {
			return err
		}
		for _, n := range sizes {
			full, err := footprint(ctx, dataplane.Options{Connections: n, HalfOpen: 1024, Wide: 1024}, log, nil)
			if err != nil {
				return err
			}
			x := float64(full.beyond(none, nothing)) / float64(n)
			s.Values = append(s.Values, Value{Row: "all that grows", Column: grouped(int64(n)), Size: float64(n), Figure: Figure{x, x, x}})
		}
		return nil
	})
	return s, err
}

// A kind is a kind of connection, and the tables it has no part in.
type kind struct {
	row   row
	spare int // places in the tables it has no part in; 0: as many as without a word
	wide  int // how many of the wide table's for each connection
	skip  func(name string) bool
}

func kinds() []kind {
	other := func(suffix string) func(string) bool {
		return func(name string) bool {
			return strings.HasSuffix(name, suffix) || strings.HasPrefix(name, "half") || name == "wides"
		}
	}
	return []kind{
		{established("IPv4, gate", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false)), 0, 0, other("6")},
		{established("IPv4, masq, both directions", service(lvs.TCP, lvs.WLC, lvs.Masquerade, 3, false)), 0, 0, other("6")},
		{established("IPv4, masq, and no room for others", service(lvs.TCP, lvs.WLC, lvs.Masquerade, 3, false)), 1024, 0, other("6")},
		{established("IPv6, gate", service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, true)), 0, 0, other("4")},
		{established("IPv4, gate, persistent", persistent(service(lvs.TCP, lvs.WLC, lvs.DirectRoute, 3, false))), 0, 1,
			func(name string) bool { return name != "wides" }},
	}
}

// filled makes so many connections known, and makes sure of it.
func (s *stage) filled(ctx context.Context, r row, flows uint32) error {
	if err := s.serve(ctx, r.service); err != nil {
		return err
	}
	p, err := s.behind(false)
	if err != nil {
		return err
	}
	if err := p.open(r, flows); err != nil {
		return err
	}
	now, err := s.counts(ctx)
	if err != nil {
		return err
	}
	return now.about(uint64(flows))
}

// about allows for flows that had to go because a bucket was full.
func (c counts) about(flows uint64) error {
	if got := c.active + c.inactive; got > flows || got < flows-flows/1000 {
		return fmt.Errorf("%w: %d flows are known, want %d", errOtherRoad, got, flows)
	}
	return nil
}

// An account is what the kernel says each map takes, in bytes.
type account map[string]uint64

func footprint(ctx context.Context, o dataplane.Options, log *slog.Logger, fill func(*stage) error) (account, error) {
	st, err := newStage(o, log)
	if err != nil {
		return nil, err
	}
	defer st.close()
	if fill != nil {
		if err := fill(st); err != nil {
			return nil, err
		}
	}
	a := make(account)
	for _, xdp := range []bool{false, true} {
		d, err := st.plane.Dissect(xdp)
		if err != nil {
			return nil, err
		}
		for name, m := range d.Maps {
			if a[name], err = taken(m); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func taken(m *ebpf.Map) (uint64, error) {
	i, err := m.Info()
	if err != nil {
		return 0, fmt.Errorf("ask about %s: %w", m, err)
	}
	n, ok := i.Memlock()
	if !ok {
		return 0, fmt.Errorf("the kernel does not say what %s takes", m)
	}
	return n, nil
}

func (a account) sum() (all uint64) {
	for _, n := range a {
		all += n
	}
	return all
}

// beyond is what a takes more than a smaller one, but for some maps.
func (a account) beyond(small account, skip func(string) bool) (more uint64) {
	for name, n := range a {
		if n > small[name] && !skip(name) {
			more += n - small[name]
		}
	}
	return more
}
