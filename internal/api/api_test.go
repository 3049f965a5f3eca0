package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

var (
	web  = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")}
	one  = netip.MustParseAddrPort("10.0.0.1:80")
	two  = netip.MustParseAddrPort("10.0.0.2:80")
	sad  = netip.MustParseAddrPort("127.0.0.1:80")
	then = time.Unix(1000, 0).UTC()
)

// A fakeDirector shows one picture.
type fakeDirector struct {
	events atomic.Pointer[[]lvs.Event]
	next   chan struct{}
	asked  []lvs.Change
}

func (d *fakeDirector) happen(es ...lvs.Event) { d.events.Store(&es) }

func (d *fakeDirector) NextEvent() <-chan struct{} { return d.next }

func (d *fakeDirector) Events(since time.Time) (out []lvs.Event) {
	all := d.events.Load()
	if all == nil {
		return nil
	}
	for _, e := range *all {
		if e.At.After(since) {
			out = append(out, e)
		}
	}
	return out
}

func (d *fakeDirector) Change(_ context.Context, _ lvs.Match, cs []lvs.Change) ([]error, error) {
	d.asked = append(d.asked, cs...)
	return make([]error, len(cs)), nil
}

func (d *fakeDirector) Preview(context.Context, config.Config) ([]string, error) { return nil, nil }

func (d *fakeDirector) Snapshot() *lvs.Snapshot {
	return &lvs.Snapshot{Configured: true, Config: "weir.yaml", Fallback: lvs.TableOf(map[lvs.ServiceKey]bool{web: true}),
		Installed: lvs.ServiceTable(lvs.Service{Key: web, Scheduler: lvs.WLC, Destinations: []lvs.Destination{
			{Addr: sad, Forward: lvs.DirectRoute, Weight: 1}, {Addr: one, Weight: 0}}}),
		Health: lvs.TableOf(map[lvs.ServiceKey]lvs.Healths{web: lvs.Healths{}.
			With(one, lvs.Health{Checked: true, Reason: lvs.ReasonRefused, Why: "connection refused", Since: then}).
			With(two, lvs.Health{Reason: lvs.ReasonUnchecked, Why: "not checked yet"})})}
}

// serve runs the API on a socket of its own and gives a client of it.
func serve(t *testing.T, o Options) (*client.Client, string) {
	path := filepath.Join(t.TempDir(), "run", "weir.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	records := audit.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	go func() { done <- Serve(ctx, l, guard.New(records).Socket(Handler(o))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	return client.New(path), path
}

func options() Options {
	dp := memory.New()
	dp.Connect(
		lvs.Connection{Protocol: lvs.TCP, Client: netip.MustParseAddrPort("203.0.113.7:4000"), Virtual: web.Addr, Destination: one, State: lvs.StateEstablished, Expires: 90 * time.Second},
		lvs.Connection{Protocol: lvs.UDP, Client: netip.MustParseAddrPort("198.51.100.9:53"), Virtual: web.Addr, Destination: two})
	return Options{Director: &fakeDirector{next: make(chan struct{})}, Observer: dp, Version: "1.2",
		Config: func() (config.Config, string) { return config.Default(), "tag" }}
}

// TestDrift: what others put into the table is told for what it is; the sorry
// server is none of it.
func TestDrift(t *testing.T) {
	mark := lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}
	d := &driftingDirector{fakeDirector{next: make(chan struct{})}, []lvs.Drift{
		{Service: web, Kind: lvs.DriftChanged, Lines: []string{"-d -t 192.0.2.1:80 -r 10.0.0.2:80"}},
		{Service: mark, Kind: lvs.DriftForeign, Lines: []string{"-A -f 7 -s rr"}},
		{Kind: lvs.DriftSetting, Lines: []string{"--set 1 2 3, found 4 5 6"}}}}
	o := options()
	o.Director = d
	c, _ := serve(t, o)
	s, err := c.Status(t.Context())
	if err != nil || len(s.Drift) != 3 || s.Drift[0].Service != "-t 192.0.2.1:80" || s.Drift[1].Kind != "foreign" || s.Drift[2].Service != "" {
		t.Errorf("%+v, %v", s.Drift, err)
	}
	all, err := c.Services(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for at, want := range map[string]string{"127.0.0.1:80": "fallback", "10.0.0.1:80": "down", "10.0.0.2:80": "put there by somebody else", "10.0.0.9:0": "put there by somebody else"} {
		found := false
		for _, s := range all {
			for _, d := range s.Destinations {
				found = found || d.Installed && d.Destination == at && (d.Health == want || d.Why == want)
			}
		}
		if !found {
			t.Errorf("%s is not %s in %+v", at, want, all)
		}
	}
}

// A driftingDirector shows a table others have changed.
type driftingDirector struct {
	fakeDirector
	drift []lvs.Drift
}

func (d *driftingDirector) Snapshot() *lvs.Snapshot {
	s := d.fakeDirector.Snapshot()
	s.Wanted = s.Installed
	changed := s.Installed.At(web).Clone()
	changed.Destinations = append(changed.Destinations, lvs.Destination{Addr: two, Weight: 1})
	s.Health = s.Health.With(web, lvs.Healths{}.With(one, s.Health.At(web).At(one)))
	s.Installed = lvs.ServiceTable(changed, lvs.Service{Key: lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}, Scheduler: lvs.RR,
		Destinations: []lvs.Destination{{Addr: netip.MustParseAddrPort("10.0.0.9:0"), Weight: 1}}})
	s.Drift = d.drift
	return s
}

func TestBadQuestions(t *testing.T) {
	c, _ := serve(t, options())
	for _, tt := range []struct {
		name string
		q    client.ConnectionQuery
		want string
	}{
		{"no limit", client.ConnectionQuery{}, "limit"},
		{"too large", client.ConnectionQuery{Limit: 1e6}, "limit"},
		{"client", client.ConnectionQuery{Limit: 1, Client: "x"}, "neither an address nor a prefix"},
		{"service", client.ConnectionQuery{Limit: 1, Service: "x:y"}, "service: "},
		{"destination", client.ConnectionQuery{Limit: 1, Destination: "10.0.0.1:99999"}, "destination: "},
		{"protocol", client.ConnectionQuery{Limit: 1, Protocol: "icmp"}, "protocol"},
		{"state", client.ConnectionQuery{Limit: 1, State: "frob"}, "the states are NONE ESTABLISHED"},
	} {
		_, err := c.Connections(t.Context(), tt.q)
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestConnections(t *testing.T) {
	c, _ := serve(t, options())
	for _, tt := range []struct {
		name string
		q    client.ConnectionQuery
		n    int
		more bool
	}{
		{"all", client.ConnectionQuery{Limit: 10}, 2, false},
		{"limited", client.ConnectionQuery{Limit: 1}, 1, true},
		{"exactly the limit", client.ConnectionQuery{Limit: 2}, 2, false},
		{"prefix", client.ConnectionQuery{Limit: 10, Client: "203.0.113.0/24"}, 1, false},
		{"address", client.ConnectionQuery{Limit: 10, Client: "203.0.113.8"}, 0, false},
		{"destination without port", client.ConnectionQuery{Limit: 10, Destination: "10.0.0.2"}, 1, false},
		{"service with port", client.ConnectionQuery{Limit: 10, Service: "192.0.2.1:80"}, 2, false},
		{"state", client.ConnectionQuery{Limit: 10, State: "established"}, 1, false},
		{"protocol", client.ConnectionQuery{Limit: 10, Protocol: "udp"}, 1, false},
		{"state without states", client.ConnectionQuery{Limit: 10, State: "Udp"}, 1, false},
	} {
		got, err := c.Connections(t.Context(), tt.q)
		if err != nil || len(got.Connections) != tt.n || got.More != tt.more {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func TestPictures(t *testing.T) {
	c, path := serve(t, options())
	s, err := c.Status(t.Context())
	if err != nil || s.Version != "1.2" || s.Services != 1 || s.Down != 2 || s.Up != 0 || s.Fallbacks != 1 {
		t.Errorf("status %+v, %v", s, err)
	}
	ss, err := c.Services(t.Context())
	if err != nil || len(ss) != 1 {
		t.Fatalf("services %+v, %v", ss, err)
	}
	var lines []string
	for _, d := range ss[0].Destinations {
		lines = append(lines, strings.Join([]string{d.Destination, d.Forward, d.Health, d.Why}, "|"))
	}
	want := "127.0.0.1:80|gate|fallback| 10.0.0.1:80|masq|down|connection refused 10.0.0.2:80||unchecked|not checked yet"
	if got := strings.Join(lines, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
}

func TestEventsAreWaitedFor(t *testing.T) {
	o := options()
	d := &fakeDirector{next: make(chan struct{})}
	d.happen(lvs.Event{At: then, Kind: "old"})
	o.Director = d
	c, _ := serve(t, o)
	if es, err := c.Events(t.Context(), time.Time{}, 0); err != nil || len(es) != 1 {
		t.Errorf("all: %v, %v", es, err)
	}
	if es, err := c.Events(t.Context(), then, 0); err != nil || len(es) != 0 {
		t.Errorf("since: %v, %v", es, err)
	}
	go func() {
		d.happen(lvs.Event{At: then.Add(1), Kind: "new"})
		close(d.next)
	}()
	if es, err := c.Events(t.Context(), then, time.Minute); err != nil || len(es) != 1 || es[0].Kind != "new" {
		t.Errorf("waited: %v, %v", es, err)
	}
}

func TestARefusedReload(t *testing.T) {
	o := options()
	var ps config.Problems = []config.Problem{{Place: config.Place{File: "f", Line: 3}, Text: "bad"}, {Text: "odd", Warning: true}}
	o.Reload = func(context.Context, lvs.Match) (string, config.Problems, error) { return "f", ps, ps.Err() }
	c, _ := serve(t, o)
	_, err := c.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "\nf:3: bad") || strings.Contains(err.Error(), "odd") {
		t.Errorf("refusal %v", err)
	}
	o.Reload = func(context.Context, lvs.Match) (string, config.Problems, error) { return "f", ps[1:], nil }
	c, _ = serve(t, o)
	if r, err := c.Reload(t.Context()); err != nil || len(r.Warnings) != 1 {
		t.Errorf("reloaded %+v, %v", r, err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := client.New(filepath.Join(t.TempDir(), "none")).Status(t.Context())
	if !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The description is served, names every question, and is JSON.
func TestOpenAPI(t *testing.T) {
	r, w := httptest.NewRequest(http.MethodGet, "/openapi.json", nil), httptest.NewRecorder()
	call := &guard.Call{Login: guard.LoginSocket, Role: lvs.RoleRead}
	Handler(options()).ServeHTTP(w, r.WithContext(guard.With(r.Context(), call)))
	var doc struct{ Paths map[string]any }
	b, _ := io.ReadAll(w.Body)
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/v1/status", "/v1/services", "/v1/connections", "/v1/totals", "/v1/explain", "/v1/events", "/v1/reload", "/v1/down"} {
		if doc.Paths[p] == nil {
			t.Errorf("%s is not described", p)
		}
	}
}
