package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/realserver"
)

// A pretended host answers every command with the same report.
type pretended struct {
	report realserver.Report
	err    error
	wish   *realserver.Wish
}

func (p *pretended) Up(_ context.Context, w realserver.Wish) (realserver.Report, error) {
	p.wish = &w
	return p.report, p.err
}

func (p *pretended) Check(_ context.Context, w *realserver.Wish) (realserver.Report, error) {
	p.wish = w
	return p.report, p.err
}
func (p *pretended) Show(context.Context) (realserver.Report, error) { return p.report, p.err }
func (p *pretended) Down(context.Context) (realserver.Report, error) { return p.report, p.err }

func TestRealserver(t *testing.T) {
	s := newShell(t)
	p := &pretended{}
	var asking bool
	s.env.RealServer = func(ask bool) RealServer { asking = ask; return p }

	code, _, errs := s.run(strings.Fields("realserver up --vip 192.0.2.1,2001:db8::1 --method gue --method gate --port 7 --from 10.1.2.3/8 --from 10.0.0.1 --ask=false")...)
	if code != Good || asking || p.wish.String() != "--vip 192.0.2.1 --vip 2001:db8::1 --method gue --method gate --port 7 --from 10.0.0.0/8 --from 10.0.0.1/32" {
		t.Errorf("%d %s %v", code, errs, p.wish)
	}
	if code, _, _ := s.run("realserver", "check"); code != Good || p.wish != nil || !asking {
		t.Errorf("check without words: %d, %v", code, p.wish)
	}
	for args, want := range map[string]string{
		"up": "no virtual address", "up --vip x --from y": "--from y: neither", "check --method gate": "no virtual address",
		"up --vip 192.0.2.1 --method nat": "masq needs nothing", "check --port 99999": "invalid argument", "show x": "unknown command",
	} {
		p.wish = nil
		code, out, errs := s.run(append([]string{"realserver"}, strings.Fields(args)...)...)
		if code != Usage || out != "" || !strings.Contains(errs, want) || p.wish != nil {
			t.Errorf("%s: %d %s%s", args, code, out, errs)
		}
	}

	setting := realserver.Change{Setting: &realserver.Setting{Key: "net/x", Was: "0", Now: "1"}}
	p.report = realserver.Report{Wish: &realserver.Wish{VIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		Requirements: []realserver.Requirement{{Name: "a", State: realserver.OK, Found: "fine", Fix: "unsaid"}, {Name: "bb", State: realserver.Wrong, Found: "bad", Fix: "do this"}},
		Done:         []realserver.Change{setting}, Undone: []realserver.Change{setting}, Kept: []realserver.Change{setting}, Changes: []realserver.Change{setting},
		Fates: []realserver.Fate{{Name: "unwrapped", Packets: 7, Fate: "unwrapped", Help: "h"}}}
	code, out, errs := s.run("realserver", "check")
	want := "undone: sysctl -w net/x=1 (was 0)\nleft, changed by somebody since: sysctl -w net/x=1 (was 0)\ndone: sysctl -w net/x=1 (was 0)\n" +
		"ok     a   fine\nwrong  bb  bad\n           → do this\n"
	if code != Refused || out != want || errs != "" {
		t.Errorf("%d %q\n%s", code, errs, out)
	}
	if code, out, _ := s.run("realserver", "show"); code != Good || !strings.Contains(out, "up --vip 192.0.2.1\nchanged: sysctl") || !strings.Contains(out, "unwrapped            7") {
		t.Errorf("%d\n%s", code, out)
	}
	if code, out, _ := s.run("realserver", "down"); code != Good || !strings.HasPrefix(out, "undone: ") {
		t.Errorf("%d\n%s", code, out)
	}
	for _, sub := range []string{"check", "show", "down"} {
		var back realserver.Report
		if _, out, _ := s.run("realserver", sub, "--json"); json.Unmarshal([]byte(out), &back) != nil || len(back.Undone) != 1 {
			t.Errorf("%s --json: %s", sub, out)
		}
	}
	p.err = errors.New("no luck")
	for _, sub := range []string{"check", "show", "down"} {
		if code, _, errs := s.run("realserver", sub); code != Refused || !strings.Contains(errs, "no luck") {
			t.Errorf("%s: %d %s", sub, code, errs)
		}
	}
}
