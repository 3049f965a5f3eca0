package ipvs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// fresh is how old a picture of the table may be to be counted from. The kernel
// itself brings its counters up to date every two seconds.
const fresh = time.Second

// Totals implements dataplane.Observer. Rates are the kernel's own. What
// becomes of packets the kernel does not count.
func (p *Plane) Totals(ctx context.Context) (lvs.Totals, error) {
	all, err := p.recent(ctx)
	if err != nil {
		return lvs.Totals{}, err
	}
	t := lvs.Totals{Services: make(map[lvs.ServiceKey]lvs.ServiceCounters, len(all))}
	for _, f := range all {
		t.Services[f.Key] = f.count()
	}
	t.Connections = used(all)
	t.All, t.AllRates, err = p.sums()
	return t, err
}

func (f found) count() lvs.ServiceCounters {
	c := lvs.ServiceCounters{Counters: f.Counters, Rates: f.rates, Destinations: make([]lvs.DestinationCount, 0, len(f.destinations))}
	for _, d := range f.destinations {
		c.Destinations = append(c.Destinations, lvs.DestinationCount{Addr: d.Addr, DestinationCounters: d.DestinationCounters})
	}
	return c
}

// used adds up what the destinations hold. Nobody is told how many connections
// the kernel's table has in all.
func used(all []found) (u lvs.ConnectionUse) {
	for _, f := range all {
		for _, d := range f.destinations {
			u.Used += int(d.Active) + int(d.Inactive) + int(d.Templates)
		}
	}
	return u
}

// Use implements dataplane.Observer.
func (p *Plane) Use(ctx context.Context) (lvs.ConnectionUse, error) {
	all, err := p.recent(ctx)
	return used(all), err
}

// Reading is Totals, a service at a time.
func (p *Plane) Reading(ctx context.Context) (lvs.Reading, error) { return p.Totals(ctx) }

// Count implements dataplane.Observer.
func (p *Plane) Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	s, ok, err := p.kernel.service(ctx, k)
	if err == nil && !ok {
		err = fmt.Errorf("%v: %w", k, lvs.ErrNoService)
	}
	if err != nil {
		return lvs.ServiceCounters{}, err
	}
	ds, err := p.kernel.destinations(ctx, k)
	if err != nil {
		return lvs.ServiceCounters{}, err
	}
	return found{s, ds}.count(), nil
}

// recent is the table as it is, or was a moment ago.
func (p *Plane) recent(ctx context.Context) ([]found, error) {
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	if time.Since(seen.at) < fresh {
		return seen.all, nil
	}
	return p.look(ctx)
}

// Zero makes a service and its destinations count from zero, or everything if
// k is nil.
func (p *Plane) Zero(ctx context.Context, k *lvs.ServiceKey) error {
	p.writes.Add(1)
	if err := p.kernel.zero(ctx, k); err != nil {
		return err
	}
	p.turn()
	return nil
}

// sums are the counters of all services, also of those that are gone.
func (p *Plane) sums() (lvs.Counters, lvs.Rates, error) {
	f, err := p.space.open("net/ip_vs_stats", os.O_RDONLY)
	if err != nil {
		return lvs.Counters{}, lvs.Rates{}, fmt.Errorf("read the sums: %w", err)
	}
	defer f.Close()
	var rows [][]uint64
	for lines := bufio.NewScanner(f); lines.Scan() && len(rows) < 2; {
		if row, ok := hexRow(lines.Text()); ok {
			rows = append(rows, row)
		}
	}
	if len(rows) < 2 {
		return lvs.Counters{}, lvs.Rates{}, fmt.Errorf("read the sums: %w", errCodec)
	}
	n, r := rows[0], rows[1]
	return lvs.Counters{Connections: n[0], InPackets: n[1], OutPackets: n[2], InBytes: n[3], OutBytes: n[4]},
		lvs.Rates{Connections: r[0], InPackets: r[1], OutPackets: r[2], InBytes: r[3], OutBytes: r[4]}, nil
}

// hexRow reads a line of five hexadecimal numbers; the titles are no such.
func hexRow(line string) ([]uint64, bool) {
	f := strings.Fields(line)
	if len(f) != 5 {
		return nil, false
	}
	out := make([]uint64, len(f))
	for i, word := range f {
		n, err := strconv.ParseUint(word, 16, 64)
		if err != nil {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}
