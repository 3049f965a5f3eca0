package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// The disciplines rivals are compared in.
const (
	perSecond   = "requests/s, keep-alive"
	tail        = "99 % within, ms"
	connections = "requests/s, a connection each"
	one, eight  = "Gbit/s, 1 stream", "Gbit/s, 8 streams"
)

// contest measures all disciplines of one rival once. wrk tells of one try
// both the rate and the tail.
func (c *course) contest(ctx context.Context, each time.Duration, got map[string][]float64) error {
	rate, late, err := c.wrk(ctx, each)
	if err != nil {
		return err
	}
	short, _, err := c.wrk(ctx, each, "-H", "Connection: close")
	if err != nil {
		return err
	}
	single, err := c.iperf(ctx, each, 1)
	if err != nil {
		return err
	}
	several, err := c.iperf(ctx, each, 8)
	if err != nil {
		return err
	}
	for name, x := range map[string]float64{perSecond: rate, tail: late, connections: short, one: single, eight: several} {
		got[name] = append(got[name], x)
	}
	return nil
}

var (
	wrkRate = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)$`)
	wrkTail = regexp.MustCompile(`(?m)^\s+99%\s+([0-9.]+)(us|ms|s)\s*$`)
	wrkBad  = regexp.MustCompile(`(?m)^\s*(Non-2xx or 3xx responses|Socket errors):? .*$`)
)

// wrk asks for a small page over 50 connections.
func (c *course) wrk(ctx context.Context, of time.Duration, more ...string) (rate, late float64, err error) {
	args := append([]string{"-t", "1", "-c", "50", "-d", fmt.Sprintf("%.0fs", of.Seconds()), "--latency"}, more...)
	out, err := c.Client.Command(ctx, "wrk", append(args, fmt.Sprintf("http://%s:%d/", c.at(), webPort))...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk (tools/debian-packages bench installs it): %w: %s", err, out)
	}
	return wrkFigures(string(out))
}

// wrkFigures are requests a second and the 99th percentile in milliseconds.
func wrkFigures(out string) (rate, late float64, err error) {
	r, t := wrkRate.FindStringSubmatch(out), wrkTail.FindStringSubmatch(out)
	if r == nil || t == nil {
		return 0, 0, fmt.Errorf("wrk says no figures: %s", out)
	}
	if bad := wrkBad.FindString(out); bad != "" {
		return 0, 0, fmt.Errorf("wrk had no clean run: %s", bad)
	}
	rate, err1 := strconv.ParseFloat(r[1], 64)
	late, err2 := strconv.ParseFloat(t[1], 64)
	late *= map[string]float64{"us": 0.001, "ms": 1, "s": 1000}[t[2]]
	return rate, late, errors.Join(err1, err2)
}

// iperf sends as much as goes, and is what arrived in Gbit/s.
func (c *course) iperf(ctx context.Context, of time.Duration, streams int) (float64, error) {
	ctx, stop := context.WithTimeout(ctx, of+20*time.Second)
	defer stop()
	out, err := c.Client.Command(ctx, "iperf3", "-J", "-c", c.at(), "-p", fmt.Sprint(pipePort), "-t", fmt.Sprintf("%.0f", of.Seconds()), "-P", fmt.Sprint(streams)).Output()
	if err != nil {
		return 0, fmt.Errorf("iperf3: %w: %s", err, out)
	}
	var said struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return 0, fmt.Errorf("iperf3: %w: %s", err, out)
	}
	if said.End.Received.Rate == 0 {
		return 0, fmt.Errorf("iperf3: nothing arrived: %s", out)
	}
	return said.End.Received.Rate / 1e9, nil
}

// Rivals measures all rivals in turns, each on a course of its own.
func Rivals(ctx context.Context, exe string, rounds int, each time.Duration, only *regexp.Regexp) (all []Series, err error) {
	var courses []*course
	defer func() {
		for _, c := range courses {
			err = errors.Join(err, c.leave(ctx))
		}
	}()
	for _, r := range rivals() {
		if only != nil && !only.MatchString(r.name) {
			continue
		}
		c, err := newCourse(ctx, r, exe)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		courses = append(courses, c)
	}
	got := make([]map[string][]float64, len(courses))
	for i := range got {
		got[i] = make(map[string][]float64)
	}
	for range rounds {
		for i, c := range courses {
			if err := c.contest(ctx, each, got[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return ranked(courses, got), nil
}

// ranked are the figures against those of a director that only routes.
func ranked(courses []*course, got []map[string][]float64) []Series {
	const method = "A client, a director and one real server with nginx in namespaces of this machine, wired by veth; each contestant has such a cluster of its own, and they take turns. " +
		"wrk asks over 50 connections for two bytes, keeping its connections or with a new one for each request; iperf3 sends. " +
		"All share the machine's processors, client and server too: what a balancer takes, they lack. Through `gate` the answers pass the director as a router, which is what a balancer is compared with. For the 99th percentile less is better."
	tc := Series{Name: "rivals", Title: "Against what a user would take instead", Method: method, Unit: "as the columns say", Base: "routing without a balancer"}
	xdp := tc
	xdp.Name, xdp.Title = "rivals-xdp", "XDP on veth"
	xdp.Method = "As above. XDP on veth needs finished packets, so the offloads of all wires are off, and the router's, too, with which it is compared: this says nothing about XDP on a network card."
	for _, s := range []*Series{&tc, &xdp} {
		base := make(map[string]Figure)
		for i, c := range courses {
			if c.xdp != (s == &xdp) {
				continue
			}
			for _, column := range []string{perSecond, tail, connections, one, eight} {
				f := figure(got[i][column])
				if _, ok := base[column]; !ok {
					base[column] = f
				}
				s.Values = append(s.Values, Value{Row: c.name, Column: column, Figure: f, Base: base[column]})
			}
		}
	}
	return some(tc, xdp)
}
