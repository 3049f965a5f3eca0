package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
	"github.com/weir-lb/weir/internal/lab"
	"github.com/weir-lb/weir/internal/lvs"
)

// perService is how many destinations each of many services has.
const perService = 10

const firstPort = 10_000

// many is a configuration of n services, every one by masq to the same ten
// addresses of one real server.
func many(n int) string {
	var b strings.Builder
	b.WriteString("defaults: {forward: masq, scheduler: wlc, check: \"on\"}\nservices:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {listen: tcp %s:%d, destinations: [", lab.VirtualAddr, firstPort+i)
		for j := range perService {
			if j > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s:8080", realAddr(j))
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

func realAddr(j int) netip.Addr { return netip.AddrFrom4([4]byte{10, 90, 2, byte(100 + j)}) }

// Control measures what changes cost: by the weir that people run, asked as
// they ask it.
func Control(ctx context.Context, exe string, sizes []int, short bool, log *slog.Logger) (all []Series, err error) {
	c, err := lab.NewCluster("bench", 1, lab.WireOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for j := range perService {
		if err := c.Real[0].Address("eth0", netip.PrefixFrom(realAddr(j), 24)); err != nil {
			return nil, err
		}
	}
	ln, err := c.Real[0].Listen("tcp", ":8080")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	go hangUp(ln)

	s := Series{Name: "control", Title: "Changes, by size of the table", Unit: "ms, and MiB of memory", Axis: "services",
		Method: "A weir in a namespace, asked as people ask it; every service has ten destinations by masq. “To forwarding” is from the start of the program, " +
			"with its file on disk, until a client's connection through the last service of the file stands. “One destination” changes one weight through the API, among all the others; " +
			"“weir services” and “weir metrics” are the commands with their answers printed. Memory is the most the process has had."}
	for _, n := range sizes {
		if err := control(ctx, c, exe, n, short, &s); err != nil {
			return nil, fmt.Errorf("%d services: %w", n, err)
		}
	}
	if short {
		return some(s), nil
	}
	again, err := restarts(ctx, c, exe, log)
	return append(some(s), again), err
}

func hangUp(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func control(ctx context.Context, c *lab.Cluster, exe string, n int, short bool, s *Series) (err error) {
	times, edits, lists := 3, 101, 5
	if short {
		times, edits, lists = 1, 21, 3
	}
	var forwarding, peak []float64
	add := func(row string, figures []float64) {
		s.Values = append(s.Values, Value{Row: row, Column: grouped(int64(n)), Size: float64(n), Figure: figure(figures)})
	}
	d, err := newDaemon(c.Director, exe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	for i := range times {
		if i > 0 {
			if _, err := d.run(ctx, "down"); err != nil {
				return err
			}
			<-d.ended
		}
		began := time.Now()
		if err := d.start(many(n)); err != nil {
			return err
		}
		if err := d.await(ctx, "connect through the last service", time.Minute, func() bool { return connects(c, n) }); err != nil {
			return err
		}
		forwarding = append(forwarding, millis(time.Since(began)))
		if err := d.await(ctx, "the whole table", time.Minute, d.ready(ctx, n)); err != nil {
			return err
		}
		m, err := d.peak()
		if err != nil {
			return err
		}
		peak = append(peak, m)
	}
	add("from file to forwarding", forwarding)
	changed, err := d.changes(ctx, n, edits)
	if err != nil {
		return err
	}
	add("one destination changed", changed)
	var listed []float64
	for range lists {
		t, err := d.run(ctx, "services")
		if err != nil {
			return err
		}
		listed = append(listed, millis(t))
	}
	add("weir services", listed)
	var scraped []float64
	for range lists {
		t, err := d.run(ctx, "metrics")
		if err != nil {
			return err
		}
		scraped = append(scraped, millis(t))
	}
	add("weir metrics", scraped)
	add("memory, MiB", peak)
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// connects tells whether a connection through the last service stands.
func connects(c *lab.Cluster, n int) bool {
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	conn, err := c.Client.Dial(ctx, "tcp", netip.AddrPortFrom(lab.VirtualAddr, uint16(firstPort+n-1)).String())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// changes gives one destination in the middle another weight, many times.
func (d *daemon) changes(ctx context.Context, n, count int) (times []float64, err error) {
	svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(lab.VirtualAddr, uint16(firstPort+n/2))}}
	for i := range count {
		change := lvs.Change{Kind: lvs.EditDestination, Service: svc, Destination: lvs.Destination{
			Addr: netip.AddrPortFrom(realAddr(perService/2), 8080), Weight: 1 + i%2 + 1, Forward: lvs.Masquerade}}
		began := time.Now()
		errs, err := d.ask.Change(ctx, []lvs.Change{change})
		if err = errors.Join(append(errs, err)...); err != nil {
			return nil, fmt.Errorf("change a destination: %w", err)
		}
		times = append(times, millis(time.Since(began)))
	}
	return times, nil
}

// restarts measures the start of a weir that takes over a table in use.
func restarts(ctx context.Context, c *lab.Cluster, exe string, log *slog.Logger) (s Series, err error) {
	s = Series{Name: "restart", Title: "A weir that finds a table in use", Unit: "ms", Axis: "",
		Method: "From the start of the program, where one was killed before, until it says that the table stands as the configuration has it. The connections were there when it came."}
	sizes := []int{0, 1_000_000}
	for _, connections := range sizes {
		var took []float64
		d, err := newDaemon(c.Director, exe)
		if err != nil {
			return s, err
		}
		config := many(1)
		if err := d.start(config); err != nil {
			return s, err
		}
		if err = d.await(ctx, "first start", time.Minute, d.ready(ctx, 1)); err == nil {
			d.kill()
			err = occupy(ctx, c.Director, uint32(connections), log)
		}
		for range 3 {
			if err != nil {
				break
			}
			began := time.Now()
			if err = d.start(config); err == nil {
				err = d.await(ctx, "start over a table", time.Minute, d.ready(ctx, 1))
			}
			took = append(took, millis(time.Since(began)))
			if err == nil {
				err = d.holds(ctx, connections)
			}
			d.kill()
		}
		if err = errors.Join(err, d.close(ctx)); err != nil {
			return s, err
		}
		s.Values = append(s.Values, Value{Row: grouped(int64(connections)) + " connections", Column: "start", Figure: figure(took)})
	}
	return s, nil
}

// occupy opens connections in the table that a killed weir left behind.
func occupy(ctx context.Context, h *lab.Host, flows uint32, log *slog.Logger) error {
	if flows == 0 {
		return nil
	}
	return h.Do(func() error {
		plane, err := dataplane.Open(dataplane.Options{Mode: dataplane.Auto}, log)
		if err != nil {
			return err
		}
		defer plane.Close()
		st := &stage{plane: plane, subjects: make(map[bool]*subject)}
		p, err := st.behind(false)
		if err != nil {
			return err
		}
		defer p.close()
		svc := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(lab.VirtualAddr, firstPort)}}
		if err := p.open(established("", withDestination(svc)), flows); err != nil {
			return err
		}
		now, err := st.counts(ctx)
		if err != nil {
			return err
		}
		return now.about(uint64(flows))
	})
}

func withDestination(s lvs.Service) lvs.Service {
	s.Destinations = []lvs.Destination{{Forward: lvs.Masquerade}}
	return s
}

// holds makes sure that a weir sees the connections that are there.
func (d *daemon) holds(ctx context.Context, connections int) error {
	services, err := d.ask.Services(ctx)
	if err != nil {
		return err
	}
	var active uint64
	for _, s := range services {
		for _, x := range s.Destinations {
			active += uint64(x.Active)
		}
	}
	return counts{active: active}.about(uint64(connections))
}
