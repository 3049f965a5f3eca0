package health

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestSimple(t *testing.T) {
	// The server reads to the end of the request and repeats it.
	repeat := func(c net.Conn) {
		text, _ := io.ReadAll(c)
		c.Write(text)
	}
	// This one neither reads nor hangs up after its greeting.
	greet := func(c net.Conn) {
		io.WriteString(c, "220 ready\r\n")
		time.Sleep(500 * time.Millisecond)
	}
	tests := []struct {
		name    string
		server  func(net.Conn)
		request string
		receive string
		reason  lvs.Reason
		text    string
	}{
		{"another line", repeat, `one\ntwo`, "three", lvs.ReasonMismatch, `no line of the answer matches "three"; it begins with "one"`},
		{"a match across lines", repeat, `one\ntwo`, "one.two", lvs.ReasonMismatch, "no line"},
		{"nothing", repeat, "", "", lvs.ReasonReset, "connection closed before the answer was complete"},
		{"a line that never comes", greet, "", "221", lvs.ReasonTimeout, "no answer within 300ms"},
		{"too late in a long answer", func(c net.Conn) { io.WriteString(c, strings.Repeat("x\n", mostSimple)+"here\n") }, "", "here", lvs.ReasonMismatch, "no line"},

		{"second line", repeat, `one\ntwo`, "^two$", "", ""},
		{"any answer", repeat, "x", "", "", ""},
		{"before the server hangs up", greet, "", "^220", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := lvs.Check{Kind: lvs.CheckSimple, Request: tt.request, Receive: tt.receive, Timeout: 300 * time.Millisecond}
			expect(t, check(t, c, serve(t, tt.server)), tt.reason, tt.text)
		})
	}
	expect(t, check(t, lvs.Check{Kind: lvs.CheckSimple}, closedPort(t)), lvs.ReasonRefused, "connection refused")
}
