package ebpf

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestExplain(t *testing.T) {
	syn := lvs.Probe{Protocol: lvs.TCP, From: client, To: vip}
	for _, tt := range []struct {
		name    string
		prepare func(*rig)
		probe   lvs.Probe
		verdict string
		steps   []string // parts of the steps, in order
	}{
		{"a new connection", nil, syn, "forwarded",
			[]string{"no known connection", "-t 192.0.2.1:80 -s wlc", "considers 10.1.0.1", "considers 10.1.0.2", "chooses 10.1.0.1:8080", "by masq", "leaves by lo"}},
		{"a known one", func(r *rig) { r.ingress(segment(client, vip, "S")) },
			lvs.Probe{Protocol: lvs.TCP, From: client, To: vip, Flags: "A"}, "forwarded",
			[]string{"state SYN_RECV", "state ESTABLISHED", "goes to 10.1.0.1"}},
		{"nothing of ours", nil, lvs.Probe{Protocol: lvs.TCP, From: client, To: netip.MustParseAddrPort("192.0.2.200:80")}, "not-ours",
			[]string{"passes the filter"}},
		{"another port", nil, lvs.Probe{Protocol: lvs.UDP, From: client, To: vip}, "no-service", []string{"no service"}},
		{"the last hop", nil, lvs.Probe{Protocol: lvs.TCP, From: client, To: vip, TTL: 1}, "ttl-exceeded", []string{"time exceeded"}},
		{"too long", nil, lvs.Probe{Protocol: lvs.TCP, From: client, To: vip, Length: 1501}, "too-big", []string{"MTU 1500"}},
		{"a client that came before", func(r *rig) {
			svc := tcpService(lvs.WLC, lvs.Masquerade, 2)
			svc.Persistence = lvs.Persistence{Timeout: 60, Mask: lvs.MaskOf(lvs.IPv4, 32)}
			r.put(svc)
			r.ingress(segment(client, vip, "S"))
		}, lvs.Probe{Protocol: lvs.TCP, From: netip.AddrPortFrom(client.Addr(), 1), To: vip}, "forwarded",
			[]string{"no known connection", "goes where the client went before", "leads to 10.1.0.1", "goes to 10.1.0.1"}},
		{"an answer", func(r *rig) { r.ingress(segment(client, vip, "S")) },
			lvs.Probe{Protocol: lvs.TCP, From: netip.MustParseAddrPort("10.1.0.1:8080"), To: client, Flags: "SA", TTL: 1}, "deferred",
			[]string{"is an answer of 10.1.0.1"}},
		{"ESP", func(r *rig) {
			svc := ipsecService(lvs.Masquerade, false, 500)
			r.reach(1500, false, svc)
			r.put(svc)
			r.ingress(datagram(netip.AddrPortFrom(client.Addr(), 500), svc.Key.Addr, "keys"))
		}, lvs.Probe{Protocol: lvs.ESP, From: netip.AddrPortFrom(client.Addr(), 0), To: vip}, "forwarded",
			[]string{"ESP from 10.0.0.9 to 192.0.2.1: it belongs to the connection of UDP port 500", "belongs to a known connection: with 10.2.0.1:500", "by masq"}},
		{"AH without keys", nil, lvs.Probe{Protocol: lvs.AH, From: netip.AddrPortFrom(client.Addr(), 0), To: vip}, "no-service",
			[]string{"no known connection", "none is for AH"}},
		{"nobody there", func(r *rig) { r.put(tcpService(lvs.WLC, lvs.Masquerade, 0)) }, syn, "no-destination",
			[]string{"no real server", "port unreachable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			svc := tcpService(lvs.WLC, lvs.Masquerade, 2)
			r.reach(1500, false, svc)
			r.put(svc)
			if tt.prepare != nil {
				tt.prepare(r)
			}
			conns, counted := len(r.conns()), r.verdicts()
			e, err := r.plane.Explain(t.Context(), tt.probe)
			if err != nil {
				t.Fatal(err)
			}
			if e.Verdict != tt.verdict {
				t.Errorf("verdict %q, want %q", e.Verdict, tt.verdict)
			}
			told := ""
			for _, s := range e.Steps {
				told += s.What + ": " + s.Why + "\n"
			}
			at := 0
			for _, want := range tt.steps {
				i := strings.Index(told[at:], want)
				if i < 0 {
					t.Fatalf("%q is missing, or out of order:\n%s", want, told)
				}
				at += i
			}
			if len(r.conns()) != conns {
				t.Error("explaining changed the connection table")
			}
			for name, n := range r.verdicts() {
				if n != counted[name] {
					t.Errorf("explaining counted a packet as %s", name)
				}
			}
		})
	}
}

func TestExplainRefuses(t *testing.T) {
	r := newRig(t)
	if _, err := r.plane.Explain(t.Context(), lvs.Probe{Protocol: lvs.TCP, From: client, To: vip}); err == nil {
		t.Error("explained without an interface")
	}
	r.reach(1500, false)
	for name, q := range map[string]lvs.Probe{
		"two families":      {Protocol: lvs.TCP, From: client, To: vip6},
		"no address":        {Protocol: lvs.TCP, To: vip},
		"unknown flag":      {Protocol: lvs.TCP, From: client, To: vip, Flags: "X"},
		"no protocol":       {Protocol: 47, From: client, To: vip},
		"too long":          {Protocol: lvs.TCP, From: client, To: vip, Length: 70000},
		"another interface": {Protocol: lvs.TCP, From: client, To: vip, Interface: "nowhere"},
	} {
		if _, err := r.plane.Explain(t.Context(), q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
