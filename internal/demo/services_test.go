package demo

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// The file says what the chapters rely on, in weir's own reading of it.
func TestConfiguration(t *testing.T) {
	cfg, problems := config.Parse("weir.yaml", []byte(configuration()))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(cfg.Services) != len(services) {
		t.Fatalf("%d services, want %d", len(cfg.Services), len(services))
	}
	for i, c := range cfg.Services {
		v := services[i]
		if c.Key.String() != v.key() || string(c.Scheduler) != v.scheduler || len(c.Reals) != reals || (c.Fallback != nil) != v.fallback {
			t.Errorf("%s is %+v", v.key(), c)
		}
		for j, r := range c.Reals {
			if r.Addr != v.realAddr(j) || r.Weight != v.weights[j] || r.Check.Value().Interval != checkInterval || r.Check.Value().Timeout != checkTimeout {
				t.Errorf("%s: real server %d is %+v", v.key(), j, r)
			}
			if v.protocol == lvs.UDP && r.Check.Value().Port != alive {
				t.Errorf("%s: nothing tells that the server of %v lives", v.key(), r.Addr)
			}
		}
	}
}

func TestListens(t *testing.T) {
	for _, tt := range []struct {
		v    service
		want string
	}{
		{masq4, "tcp :8080"}, {gate6, "tcp :81"}, {udpMasq6, "udp :8053"},
		{udpGate4, "udp 10.90.1.100:54"}, {udpGate6, "udp [fd90:1::100]:54"},
	} {
		if network, addr := tt.v.listens(); network+" "+addr != tt.want {
			t.Errorf("%s listens on %s %s, want %s", tt.v.key(), network, addr, tt.want)
		}
	}
}

func TestEvents(t *testing.T) {
	dead := event{lvs.Event{Kind: "destination-down", Service: "-t 10.90.1.100:84", Destination: "10.90.2.12:8084"}}
	for _, tt := range []struct {
		name string
		got  bool
		want bool
	}{
		{"another kind", dead.about("destination-up", guarded, 1), false},
		{"another service", dead.about("destination-down", masq4, 1), false},
		{"another server", dead.about("destination-down", guarded, 0), false},
		{"the server", dead.about("destination-down", guarded, 1), true},
		{"any server", dead.about("destination-down", guarded, -1), true},
		{"no configuration", dead.changedNothing(), false},
		{"ten changes", event{lvs.Event{Kind: "configuration", Text: "applied f, 10 changes"}}.changedNothing(), false},
		{"no changes", event{lvs.Event{Kind: "configuration", Text: "applied f, 0 changes"}}.changedNothing(), true},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v", tt.name, tt.got)
		}
	}
}

// Only what would end the kept weir is left out.
func TestChapters(t *testing.T) {
	names := func(cs []chapter) (n []string) {
		for _, c := range cs {
			n = append(n, c.name)
		}
		return n
	}
	all, kept := names(chapters(false)), names(chapters(true))
	if !slices.Equal(append(kept, "weir down"), all) {
		t.Errorf("kept: %s; all: %s", strings.Join(kept, ", "), strings.Join(all, ", "))
	}
}
