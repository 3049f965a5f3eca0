package plan

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

func TestBelieve(t *testing.T) {
	kind := func(k lvs.CheckKind) config.Config {
		r := checked(a, 1)
		r.Check = config.CheckOf(lvs.Check{Kind: k})
		return config.Config{Services: []config.Service{webs(true, false, r)}}
	}
	serving := []lvs.Service{{Key: web, Destinations: []lvs.Destination{dest(a, 1)}}}
	quiesced := []lvs.Service{{Key: web, Destinations: []lvs.Destination{dest(a, 0)}}}
	sick := lvs.Health{Checked: true, Why: "status 503, want 200", Since: time.Unix(9, 0)}
	tests := []struct {
		name      string
		cfg       config.Config
		known     Beliefs
		installed []lvs.Service
		want      lvs.Health
	}{
		{"never seen: down until a good answer", kind(lvs.CheckHTTP), nil, nil, lvs.Health{Reason: lvs.ReasonUnchecked, Why: WhyUnchecked}},
		{"found quiesced: down", kind(lvs.CheckHTTP), nil, quiesced, lvs.Health{Reason: lvs.ReasonUnchecked, Why: WhyUnchecked}},
		{"found serving: up", kind(lvs.CheckHTTP), nil, serving, lvs.Health{Up: true, Why: WhyAdopted}},
		{"what was answered stays", kind(lvs.CheckHTTP), Beliefs{web: {{Addr: a, Health: sick}}}, serving, sick},
		{"off is down whatever stands", kind(lvs.CheckOff), nil, serving, lvs.Health{Reason: lvs.ReasonOff, Why: WhyOff}},
		{"on is up", kind(lvs.CheckOn), Beliefs{web: {{Addr: a, Health: lvs.Health{Why: WhyOff}}}}, nil, lvs.Health{Up: true}},
		{"from on to asked: up until the answer", kind(lvs.CheckHTTP), Beliefs{web: {{Addr: a, Health: lvs.Health{Up: true}}}}, nil, lvs.Health{Up: true, Why: WhyAdopted}},
		{"from off to asked", kind(lvs.CheckHTTP), Beliefs{web: {{Addr: a, Health: lvs.Health{Why: WhyOff}}}}, nil, lvs.Health{Reason: lvs.ReasonUnchecked, Why: WhyUnchecked}},
	}
	for _, tt := range tests {
		if got := Believe(tt.cfg, tt.known, tt.installed)[web].At(a); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestTargetsAndAddresses(t *testing.T) {
	on := checked(b, 1)
	on.Check = config.CheckOf(lvs.Check{Kind: lvs.CheckOn})
	cfg := config.Config{Services: []config.Service{webs(true, true, checked(c, 1), on, checked(a, 1))}}
	ts := Targets(cfg, health(a))
	if len(ts) != 2 || ts[0].Destination != c || ts[0].Up || ts[1].Destination != a || !ts[1].Up {
		t.Errorf("targets %+v", ts)
	}
	want := []netip.Addr{a.Addr(), b.Addr(), c.Addr(), sad.Addr()}
	if got := Addresses(cfg); !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v", got, want)
	}
	if got := Patience(cfg.Services[0]); got != 8*time.Second {
		t.Errorf("patience %v", got)
	}
}
