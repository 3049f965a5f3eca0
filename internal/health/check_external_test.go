package health

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

func script(t *testing.T, body string) string {
	t.Helper()
	// A blank in the path: the command is no line for a shell.
	path := filepath.Join(t.TempDir(), "a check")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func externalTarget(command string, timeout time.Duration) lvs.Target {
	return lvs.Target{
		Service:     lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")},
		Destination: netip.MustParseAddrPort("10.0.0.1:8080"),
		Check:       lvs.Check{Kind: lvs.CheckExternal, Command: command, Timeout: timeout, Port: 99},
	}
}

func TestExternal(t *testing.T) {
	tests := []struct {
		name, body string
		reason     lvs.Reason
		text       string
	}{
		{"exit 3", "exit 3", lvs.ReasonMismatch, "exit status 3, want 0"},
		{"it says why", "echo; echo no disk; echo more; exit 1", lvs.ReasonMismatch, "exit status 1, want 0: no disk"},
		{"killed", "kill -9 $$", lvs.ReasonMismatch, ""},
		{"too long", "sleep 30", lvs.ReasonTimeout, ""},
		{"deaf to the end", "trap '' TERM; while :; do sleep 1; done", lvs.ReasonTimeout, ""},

		{"exit 0", "exit 0", "", ""},
		{"talkative", "head -c 1000000 /dev/zero", "", ""},
		{"leaves a child with its output", "sleep 2 & exit 0", "", ""},
		{"reads nothing", "read x; test -z \"$x\"", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			expect(t, checkTarget(t, externalTarget(script(t, tt.body), time.Second)), tt.reason, tt.text)
			if took := time.Since(began); took > time.Second+grace+time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	expect(t, checkTarget(t, externalTarget("/nowhere/check", time.Second)), lvs.ReasonCommand, "cannot run /nowhere/check: no such file")
}

func TestExternalArguments(t *testing.T) {
	v4 := externalTarget("", time.Second)
	v6, mark := v4, v4
	v6.Service.Addr = netip.MustParseAddrPort("[2001:db8::1]:80")
	v6.Destination = netip.MustParseAddrPort("[fd00::1]:8080")
	mark.Service = lvs.ServiceKey{Mark: 7, Family: lvs.IPv4}
	for want, x := range map[string]lvs.Target{
		"192.0.2.1 80 10.0.0.1 8080":      v4,
		"[2001:db8::1] 80 [fd00::1] 8080": v6,
		"7 0 10.0.0.1 8080":               mark,
	} {
		x.Check.Command = script(t, `test "$*" = "`+want+`" || { echo "$*"; exit 1; }`)
		expect(t, checkTarget(t, x), "", "")
	}
}

// Nothing a check started may be left when its time is up.
func TestExternalKillsTheWholeGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	x := externalTarget(script(t, `sh -c 'trap "" TERM; echo $$ >`+pidFile+`; while :; do sleep 1; done' & wait`), 300*time.Millisecond)
	expect(t, checkTarget(t, x), lvs.ReasonTimeout, "")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for !gone(pid) {
		if !sleep(ctx, 10*time.Millisecond) {
			t.Fatalf("process %d is left", pid)
		}
	}
}

// gone tells whether a process has ended, be it still waited for by nobody.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestHeadIsBounded(t *testing.T) {
	var h head
	for range 100 {
		if n, err := h.Write(make([]byte, 1000)); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if h.kept.Len() != mostHead {
		t.Errorf("kept %d bytes, want %d", h.kept.Len(), mostHead)
	}
}
