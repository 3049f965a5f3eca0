package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

// Nobody is asked what makes no sense: there is nobody to ask here.
func TestWrongWordsAreWrongUsage(t *testing.T) {
	s := newShell(t)
	for _, tt := range []struct{ args, err string }{
		{"connections --state frob", "the states are NONE ESTABLISHED SYN_SENT"},
		{"connections --protocol icmp", `protocol: "icmp"; use tcp, udp or sctp`},
		{"connections --client 300.1.2.3", "client: "},
		{"connections --client 10.0.0.0/33", "client: "},
		{"connections --service www:80", "service: "},
		{"connections --destination 10.0.0.1:99999", "destination: "},
		{"connections --limit 0", "from 1 to 100000"},
		{"connections --limit 100001", "from 1 to 100000"},
		{"explain", "accepts 3 arg(s)"},
		{"explain tcp 203.0.113.9:40000", "accepts 3 arg(s)"},
		{"explain icmp 203.0.113.9:40000 192.0.2.1:80", "use tcp, udp, sctp, esp or ah"},
		{"explain esp 203.0.113.9:500 192.0.2.1", "from: \"203.0.113.9:500\" is no address; ESP has no ports"},
		{"explain ah 203.0.113.9 192.0.2.1:500", "to: \"192.0.2.1:500\" is no address; AH has no ports"},
		{"explain tcp 203.0.113.9 192.0.2.1:80", "from: "},
		{"explain tcp 203.0.113.9:40000 192.0.2.1", "to: "},
		{"explain tcp 203.0.113.9:40000 [2001:db8::1]:80", "one family"},
		{"explain tcp 203.0.113.9:40000 192.0.2.1:80 --flags X", "S A F R P"},
		{"explain tcp 203.0.113.9:40000 192.0.2.1:80 --ttl 256", "invalid argument"},
		{"explain tcp 203.0.113.9:40000 192.0.2.1:80 --length 65536", "length: "},
	} {
		code, out, err := s.run(strings.Fields(tt.args)...)
		if code != Usage || out != "" || !strings.Contains(err, tt.err) || !strings.Contains(err, "; see weir "+strings.Fields(tt.args)[0]+" --help\n") {
			t.Errorf("weir %s: %d\n%s%s", tt.args, code, out, err)
		}
	}
}

func TestExplain(t *testing.T) {
	s := newShell(t)
	args := []string{"explain", "TCP", "203.0.113.9:40000", "192.0.2.1:80"}
	if code, _, err := s.run(args...); code != Refused || !strings.Contains(err, "start it with") {
		t.Errorf("without a weir: %d %s", code, err)
	}
	e := lvs.Explanation{Verdict: "not-opening", Fate: lvs.Passed, Help: "the stack answers"}
	for range 9 {
		e.Steps = append(e.Steps, lvs.Step{What: "considers 10.0.0.1:80", Why: "weight 1, 0 active"})
	}
	e.Steps = append(e.Steps, lvs.Step{What: "belongs to no known connection"})
	s.weir(map[string]any{"/v1/explain": e})
	want := strings.Repeat("N  considers 10.0.0.1:80: weight 1, 0 active\n", 9) + "10  belongs to no known connection\n=>  not-opening (passed): the stack answers\n"
	for _, n := range []string{" 1", " 2", " 3", " 4", " 5", " 6", " 7", " 8", " 9"} {
		want = strings.Replace(want, "N", n, 1)
	}
	if code, out, err := s.run(args...); code != Good || out != want || err != "" {
		t.Errorf("%d\n%s%s", code, out, err)
	}
	code, out, _ := s.run(append(args, "--json")...)
	var back lvs.Explanation
	if err := json.Unmarshal([]byte(out), &back); code != Good || err != nil || back.Fate != lvs.Passed || len(back.Steps) != 10 {
		t.Errorf("%d %v\n%s", code, err, out)
	}
}

func TestExplainRefused(t *testing.T) {
	s := newShell(t)
	s.weir(map[string]any{"/v1/explain": &client.Problem{Status: 422, Detail: "interface eth9 is not attached"}})
	if code, out, err := s.run("explain", "tcp", "203.0.113.9:1", "192.0.2.1:80", "--interface", "eth9"); code != Refused || out != "" || err != "weir: interface eth9 is not attached\n" {
		t.Errorf("%d\n%s%s", code, out, err)
	}
}

func TestTotals(t *testing.T) {
	s := newShell(t)
	s.weir(map[string]any{"/v1/totals": client.Totals{Verdicts: []lvs.PacketVerdict{
		{Name: "not-ours", Packets: 1234567, Fate: lvs.Passed, Help: "passed on"},
		{Name: "forwarded", Packets: 5, Fate: lvs.Sent, Help: "the work"},
		{Name: "no-route", Fate: lvs.Dropped, Drop: true, Help: "none"}}}})
	want := `VERDICT    PACKETS  FATE     MEANING
not-ours   1234567  passed   passed on
forwarded        5  sent     the work
no-route         0  dropped  none
`
	if _, out, _ := s.run("totals"); out != want {
		t.Errorf("got\n%s", out)
	}
}
