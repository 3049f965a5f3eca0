package metrics

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/weir-lb/weir/internal/lvs"
)

var (
	web      = lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")}
	one, two = netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80")
)

func options(err error) Options {
	return Options{Version: "1.2", Routers: func() []lvs.RouterRole {
		return []lvs.RouterRole{{Router: lvs.Router{Name: "outside"}, State: lvs.RouterActive, Priority: 150, Counts: lvs.RouterCounts{Sent: 11, Heard: 12, Takeovers: 13, Refused: 14}}}
	}, Snapshot: func() *lvs.Snapshot {
		return &lvs.Snapshot{Configured: true, Applied: time.Unix(1000, 0), Fallback: lvs.TableOf(map[lvs.ServiceKey]bool{web: true}),
			Installed: lvs.ServiceTable(lvs.Service{Key: web, Destinations: []lvs.Destination{{Addr: one, Weight: 3}}}),
			Orders:    lvs.TableOf(map[lvs.ServiceKey]map[netip.AddrPort]lvs.Order{web: {one: {Weight: 3}}}),
			Health:    lvs.TableOf(map[lvs.ServiceKey]lvs.Healths{web: lvs.Healths{}.With(one, lvs.Health{Up: true}).With(two, lvs.Health{Reason: lvs.ReasonRefused})})}
	}, Totals: func(context.Context) (lvs.Totals, error) {
		c := lvs.Counters{Connections: 5, InPackets: 6, InBytes: 7, OutPackets: 8, OutBytes: 9}
		return lvs.Totals{Services: map[lvs.ServiceKey]lvs.ServiceCounters{web: {Counters: c, Destinations: []lvs.DestinationCount{{Addr: one, DestinationCounters: lvs.DestinationCounters{Counters: c, Active: 2}}}}},
			Verdicts:    []lvs.PacketVerdict{{Name: "forwarded", Fate: lvs.Sent, Packets: 11}},
			Connections: lvs.ConnectionUse{Size: 100, Used: 10, Half: 1}}, err
	}}
}

func text(t *testing.T, o Options) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %v\n%s", w.Code, err, b)
	}
	return string(b)
}

func TestMetrics(t *testing.T) {
	got := text(t, options(nil))
	for _, line := range []string{
		`weir_build_info{version="1.2"} 1`,
		`weir_configuration_applied_timestamp_seconds 1000`,
		`weir_service_fallback{service="-t 192.0.2.1:80"} 1`,
		`weir_service_bytes_total{direction="out",service="-t 192.0.2.1:80"} 9`,
		`weir_destination_packets_total{destination="10.0.0.1:80",direction="in",service="-t 192.0.2.1:80"} 6`,
		`weir_destination_active_connections{destination="10.0.0.1:80",service="-t 192.0.2.1:80"} 2`,
		`weir_destination_up{destination="10.0.0.2:80",service="-t 192.0.2.1:80"} 0`,
		`weir_destination_ordered{destination="10.0.0.1:80",service="-t 192.0.2.1:80"} 1`,
		`weir_real_servers_down{reason="refused"} 1`,
		`weir_verdict_packets_total{fate="sent",verdict="forwarded"} 11`,
		`weir_connection_table_used_entries 10`,
		`weir_dataplane_readable 1`,
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	got = text(t, options(errors.New("no")))
	if !strings.Contains(got, "\nweir_dataplane_readable 0\n") || strings.Contains(got, "weir_verdict_packets_total{") {
		t.Error("counters that cannot be read are shown")
	}
}

// The names follow the rules of Prometheus, and its own reader reads them.
func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(text(t, options(nil)))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What the dashboard and the alerts ask for is there.
func TestDashboardAndAlerts(t *testing.T) {
	got := text(t, options(nil))
	used := regexp.MustCompile(`\bweir_[a-z_]+\b`)
	for _, file := range []string{"../../dist/grafana.json", "../../dist/prometheus-rules.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := used.FindAllString(string(b), -1)
		if len(names) < 5 {
			t.Errorf("%s: only %d metrics", file, len(names))
		}
		for _, n := range names {
			if !strings.Contains(got, "\n# TYPE "+n+" ") {
				t.Errorf("%s asks for %s, which there is not", file, n)
			}
		}
	}
}

// TestForm: one form whatever is asked for, compressed if that is asked for.
func TestForm(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text")
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	Handler(options(nil)).ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "\nweir_services 1\n") {
		t.Errorf("%s", b)
	}
}

// TestBroken: what cannot be written to its end has none.
func TestBroken(t *testing.T) {
	p := options(nil).picture(t.Context())
	for _, write := range []func(io.Writer) error{p.writeFew, p.writeMany} {
		if err := write(gone{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("a reader that has gone: %v", err)
		}
	}
}

type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestEveryFamily: no metric is declared and not shown, and none twice.
func TestEveryFamily(t *testing.T) {
	got := text(t, options(nil))
	for _, name := range declared {
		if n := strings.Count(got, "\n# TYPE "+name+" "); n != 1 {
			t.Errorf("%s is shown %d times", name, n)
		}
	}
}

// BenchmarkMany writes what 10,000 services of ten real servers have.
func BenchmarkMany(b *testing.B) {
	p := options(nil).picture(b.Context())
	var all []lvs.Service
	p.totals.Services = make(map[lvs.ServiceKey]lvs.ServiceCounters)
	for i := range 10_000 {
		s := lvs.Service{Key: lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.AddrPortFrom(web.Addr.Addr(), uint16(1+i))}}
		n := lvs.ServiceCounters{}
		for j := range 10 {
			d := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(j)}), 80)
			s.Destinations = append(s.Destinations, lvs.Destination{Addr: d})
			n.Destinations = append(n.Destinations, lvs.DestinationCount{Addr: d})
		}
		all = append(all, s)
		p.totals.Services[s.Key] = n
	}
	p.s.Installed = lvs.ServiceTable(all...)
	for b.Loop() {
		if err := p.writeMany(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
