package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

// A fakeExplainer tells what it was asked.
type fakeExplainer struct {
	asked lvs.Probe
	err   error
}

func (f *fakeExplainer) Explain(_ context.Context, p lvs.Probe) (lvs.Explanation, error) {
	f.asked = p
	return lvs.Explanation{Steps: []lvs.Step{{What: "is for -t 192.0.2.1:80"}, {What: "chooses 10.0.0.1:80", Why: "by rr"}},
		Verdict: "forwarded", Fate: lvs.Sent, Help: "requests sent to real servers"}, f.err
}

func TestExplainRefusesNonsense(t *testing.T) {
	o := options()
	f := &fakeExplainer{}
	o.Explainer = f
	c, _ := serve(t, o)
	good := client.ExplainQuery{Protocol: "tcp", From: "203.0.113.9:40000", To: "192.0.2.1:80"}
	for _, tt := range []struct {
		name, want string
		bad        func(*client.ExplainQuery)
	}{
		{"protocol", "protocol", func(q *client.ExplainQuery) { q.Protocol = "icmp" }},
		{"no from", "from", func(q *client.ExplainQuery) { q.From = "" }},
		{"from without port", "from", func(q *client.ExplainQuery) { q.From = "203.0.113.9" }},
		{"name", "to", func(q *client.ExplainQuery) { q.To = "www:80" }},
		{"families", "one family", func(q *client.ExplainQuery) { q.To = "[2001:db8::1]:80" }},
		{"flags", "S A F R P", func(q *client.ExplainQuery) { q.Flags = "SXA" }},
		{"length", "length", func(q *client.ExplainQuery) { q.Length = 70000 }},
	} {
		q := good
		tt.bad(&q)
		_, err := c.Explain(t.Context(), q)
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if f.asked != (lvs.Probe{}) {
		t.Errorf("nonsense was asked: %+v", f.asked)
	}
	f.err = errors.New("interface eth9 is not attached")
	if _, err := c.Explain(t.Context(), good); err == nil || !strings.Contains(err.Error(), "eth9") {
		t.Errorf("refused by the data plane: %v", err)
	}
	o.Explainer = nil
	c, _ = serve(t, o)
	var p *client.Problem
	if _, err := c.Explain(t.Context(), good); !errors.As(err, &p) || p.Status != http.StatusNotImplemented {
		t.Errorf("a data plane that cannot: %v", err)
	}
}

func TestExplain(t *testing.T) {
	o := options()
	f := &fakeExplainer{}
	o.Explainer = f
	c, _ := serve(t, o)
	e, err := c.Explain(t.Context(), client.ExplainQuery{Protocol: "udp", From: "[2001:db8::9]:5353", To: "[2001:db8:1::1]:53",
		Flags: "sa", TTL: 3, Length: 1400, Interface: "eth0"})
	asked := lvs.Probe{Protocol: lvs.UDP, From: netip.MustParseAddrPort("[2001:db8::9]:5353"), To: netip.MustParseAddrPort("[2001:db8:1::1]:53"),
		Flags: "SA", TTL: 3, Length: 1400, Interface: "eth0"}
	if err != nil || f.asked != asked {
		t.Errorf("asked %+v, %v", f.asked, err)
	}
	if told, _ := f.Explain(t.Context(), asked); !reflect.DeepEqual(e, told) {
		t.Errorf("got %+v", e)
	}
}
