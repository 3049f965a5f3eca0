package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// check asks once, about a TCP service unless the caller changed it.
func check(t *testing.T, c lvs.Check, to netip.AddrPort) error {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	return checkTarget(t, lvs.Target{
		Service:     lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:80")},
		Destination: to, Check: c,
	})
}

func checkTarget(t *testing.T, x lvs.Target) error {
	t.Helper()
	checker, err := New(x)
	if err != nil {
		t.Fatal(err)
	}
	return checker.Check(t.Context(), address(x))
}

// expect compares an answer with the reason and the beginning of its text;
// both empty is a good answer.
func expect(t *testing.T, err error, reason lvs.Reason, text string) {
	t.Helper()
	if reason == lvs.ReasonNone {
		if err != nil {
			t.Errorf("bad answer %q, want a good one", err)
		}
		return
	}
	var f *Failure
	switch {
	case err == nil:
		t.Errorf("good answer, want %s: %s", reason, text)
	case !errors.As(err, &f):
		t.Errorf("%T %v is no Failure", err, err)
	case f.Reason != reason || !strings.HasPrefix(f.Text, text):
		t.Errorf("%s: %s, want %s: %s", f.Reason, f.Text, reason, text)
	}
}

// serve answers every connection with one call, on loopback.
func serve(t *testing.T, answer func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			answer(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// deafPort is an address whose listener never accepts: its queue is full, so
// a connection is neither made nor refused.
func deafPort(t *testing.T) netip.AddrPort {
	t.Helper()
	lc := net.ListenConfig{}
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c, err := net.DialTimeout("tcp", ln.Addr().String(), 100*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { c.Close() })
	}
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name  string
		check lvs.Check
		want  string
	}{
		{"no timeout", lvs.Check{Kind: lvs.CheckConnect}, "without a timeout"},
		{"unknown kind", lvs.Check{Kind: "smoke", Timeout: 1}, "unknown kind"},
		{"on", lvs.Check{Kind: lvs.CheckOn, Timeout: 1}, "asks nothing"},
		{"off", lvs.Check{Kind: lvs.CheckOff, Timeout: 1}, "asks nothing"},
		{"no command", lvs.Check{Kind: lvs.CheckExternal, Timeout: 1}, "name a program"},
		{"expression, http", lvs.Check{Kind: lvs.CheckHTTP, Receive: "(", Timeout: 1}, "what to receive"},
		{"expression, simpletcp", lvs.Check{Kind: lvs.CheckSimple, Receive: "(", Timeout: 1}, "what to receive"},
		{"request", lvs.Check{Kind: lvs.CheckHTTP, Request: "/%zz", Timeout: 1}, `request "/%zz"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(lvs.Target{Check: tt.check})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	tests := []struct {
		check uint16
		dest  string
		want  string
	}{
		{0, "10.0.0.1:0", "10.0.0.1:80"},
		{0, "10.0.0.1:8080", "10.0.0.1:8080"},
		{99, "10.0.0.1:8080", "10.0.0.1:99"},
		{0, "[fd00::1]:0", "[fd00::1]:80"},
	}
	for _, tt := range tests {
		x := lvs.Target{Destination: netip.MustParseAddrPort(tt.dest), Check: lvs.Check{Port: tt.check},
			Service: lvs.ServiceKey{Addr: netip.MustParseAddrPort("192.0.2.1:80")}}
		if got := address(x).String(); got != tt.want {
			t.Errorf("check port %d, destination %s: asks %s, want %s", tt.check, tt.dest, got, tt.want)
		}
	}
}

func TestConnect(t *testing.T) {
	c := lvs.Check{Kind: lvs.CheckConnect}
	expect(t, check(t, c, closedPort(t)), lvs.ReasonRefused, "connection refused")
	expect(t, check(t, c, serve(t, func(net.Conn) {})), lvs.ReasonNone, "")

	c.Timeout = 200 * time.Millisecond
	began := time.Now()
	expect(t, check(t, c, deafPort(t)), lvs.ReasonTimeout, "no answer within 200ms")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("gave up after %v", took)
	}
}

// A check that is called off is neither a good nor a bad answer.
func TestCalledOff(t *testing.T) {
	checker, err := New(lvs.Target{Check: lvs.Check{Kind: lvs.CheckConnect, Timeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := checker.Check(ctx, closedPort(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestExplain(t *testing.T) {
	tests := []struct {
		err    error
		reason lvs.Reason
		text   string
	}{
		{&net.OpError{Err: syscall.ECONNRESET}, lvs.ReasonReset, "connection reset"},
		{&net.OpError{Err: syscall.EHOSTUNREACH}, lvs.ReasonNetwork, "host unreachable"},
		{&net.OpError{Err: syscall.ENETUNREACH}, lvs.ReasonNetwork, "network unreachable"},
		{&net.OpError{Err: syscall.ETIMEDOUT}, lvs.ReasonTimeout, "no answer within 3s"},
		{errors.New("odd\x1b[31m\nthing"), lvs.ReasonOther, "odd [31m thing"},
		{errors.New(strings.Repeat("x", 999)), lvs.ReasonOther, strings.Repeat("x", longest) + "…"},
	}
	for _, tt := range tests {
		expect(t, explain(tt.err, 3*time.Second), tt.reason, tt.text)
	}
}
