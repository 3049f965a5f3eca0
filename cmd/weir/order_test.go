package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/cli"
)

func (b *bench) weir(args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = cli.Main(context.Background(), cli.Env{Stdout: &o, Stderr: &e, Getenv: func(string) string { return "" }, Socket: b.m.Socket}, args)
	return o.String(), e.String(), code
}

func TestOrders(t *testing.T) {
	b := newBench(t, cf(4, ""))
	b.start()
	const service, server = "tcp:192.0.2.1:80", "10.0.0.1"
	for _, tt := range []struct {
		args   string
		weight int
		says   string
		code   int
	}{
		{"quiesce " + service + " " + server, 0, "quiesced", 0},
		{"weight " + service + " " + server + ":80 9", 9, "has weight 9", 0},
		{"drain " + service + " " + server, 0, "quiesced", 0},
		{"enable " + service + " " + server, 4, "enabled", 0},
		{"weight " + service + " " + server + " x", 4, "", 2},
		{"quiesce nonsense " + server, 4, "", 2},
		{"quiesce " + service, 4, "", 2},
		{"quiesce " + service + " 10.0.0.99", 4, "", 1},
	} {
		out, errs, code := b.weir(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.says) || code != 0 && errs == "" || b.weight() != tt.weight {
			t.Errorf("%s: %d %q %q, weight %d", tt.args, code, out, errs, b.weight())
		}
	}
	b.weir("quiesce", service, server)
	if out, _, _ := b.weir("services"); !strings.Contains(out, "quiesced by order") {
		t.Errorf("services do not tell the order:\n%s", out)
	}
	// An order outlives weir, and a reload.
	if err := b.end(); err != nil {
		t.Error(err)
	}
	b.states.mu.Lock()
	b.states.b.Reset()
	b.states.mu.Unlock()
	b.start()
	if _, err := b.c.Reload(t.Context()); err != nil || b.weight() != 0 {
		t.Errorf("weight %d, %v", b.weight(), err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
