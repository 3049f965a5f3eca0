package health

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

func addrOf(s *httptest.Server) netip.AddrPort {
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

// pages is the real server of these tests.
func pages(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/alive", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "well,\nstill alive\n") })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		name := ""
		if r.TLS != nil {
			name = r.TLS.ServerName
		}
		fmt.Fprintf(w, "%s host=%s query=%s agent=%s close=%t encoding=%q sni=%s", r.Method, r.Host, r.URL.RawQuery,
			r.UserAgent(), r.Close, r.Header.Get("Accept-Encoding"), name)
	})
	mux.HandleFunc("/hop/{n}", func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscan(r.PathValue("n"), &n)
		to := "/alive"
		if n > 1 {
			to = fmt.Sprintf("/hop/%d", n-1)
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("url"), http.StatusMovedPermanently)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, mostBody))
		io.WriteString(w, "beyond")
	})
	mux.HandleFunc("/torn", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "still alive")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "still alive")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	return mux
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(pages(t))
	defer server.Close()
	tests := []struct {
		name   string
		check  lvs.Check
		reason lvs.Reason
		text   string
	}{
		{"status 503", lvs.Check{Request: "/status/503"}, lvs.ReasonMismatch, "status 503, want 2xx"},
		{"status 404", lvs.Check{Request: "/nowhere"}, lvs.ReasonMismatch, "status 404, want 2xx"},
		{"a redirect to nowhere", lvs.Check{Request: "/status/301"}, lvs.ReasonMismatch, "status 301, want 2xx"},
		{"wrong body", lvs.Check{Request: "/alive", Receive: "dead"}, lvs.ReasonMismatch, `status 200, but the body does not match "dead"`},
		{"body beyond the limit", lvs.Check{Request: "/long", Receive: "beyond"}, lvs.ReasonMismatch, "status 200, but"},
		{"HEAD has no body", lvs.Check{Request: "/alive", Method: "HEAD", Receive: "alive"}, lvs.ReasonMismatch, "status 200, but"},
		{"eight redirects", lvs.Check{Request: "/hop/8"}, lvs.ReasonMismatch, "status 302, want 2xx"},
		{"torn body", lvs.Check{Request: "/torn", Receive: "still alive"}, lvs.ReasonReset, "connection closed"},
		{"slow body", lvs.Check{Request: "/slow", Receive: "still", Timeout: 200 * time.Millisecond}, lvs.ReasonTimeout, "no answer within 200ms"},

		{"good", lvs.Check{Request: "/alive"}, "", ""},
		{"without a slash", lvs.Check{Request: "alive"}, "", ""},
		{"status 204", lvs.Check{Request: "/status/204"}, "", ""},
		{"body matches", lvs.Check{Request: "/alive", Receive: "still alive"}, "", ""},
		{"HEAD", lvs.Check{Request: "/alive", Method: "HEAD"}, "", ""},
		{"seven redirects", lvs.Check{Request: "/hop/7", Receive: "alive"}, "", ""},
		{"host is the bare address", lvs.Check{Request: "/echo?a=b", Receive: `^GET host=127\.0\.0\.1 query=a=b agent=weir close=true encoding="" `}, "", ""},
		{"virtual host", lvs.Check{Request: "/echo", Host: "www.example.com", Receive: "host=www.example.com "}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.check.Kind = lvs.CheckHTTP
			expect(t, check(t, tt.check, addrOf(server)), tt.reason, tt.text)
		})
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(pages(t)) // signed by nobody we know
	defer server.Close()
	server.Config.ErrorLog = nil
	plain := httptest.NewServer(pages(t))
	defer plain.Close()
	c := lvs.Check{Kind: lvs.CheckHTTPS, Request: "/echo", Host: "www.example.com:444"}
	expect(t, check(t, c, addrOf(plain)), lvs.ReasonTLS, "TLS: ")
	expect(t, check(t, c, closedPort(t)), lvs.ReasonRefused, "connection refused")
	c.Receive = "host=www.example.com:444 .*sni=www.example.com$"
	expect(t, check(t, c, addrOf(server)), "", "")
	c.Host, c.Receive = "", `host=127\.0\.0\.1 .*sni=$`
	expect(t, check(t, c, addrOf(server)), "", "")
}

func TestHTTPRedirectToItself(t *testing.T) {
	secure := httptest.NewTLSServer(pages(t))
	defer secure.Close()
	plain := httptest.NewServer(pages(t))
	defer plain.Close()
	elsewhere := httptest.NewServer(pages(t))
	defer elsewhere.Close()
	tests := []struct{ name, to, receive string }{
		// Looked up by name, none of the first three would be found.
		{"its own name", "http://www.invalid/echo", "host=www.invalid "},
		{"its own name and the public port", "http://www.invalid:80/echo", "host=www.invalid:80 "},
		{"its own name, the other scheme", fmt.Sprintf("https://WWW.invalid:%d/echo", addrOf(secure).Port()), "sni=www.invalid$"},
		{"another host", "http://" + addrOf(elsewhere).String() + "/alive", "still"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := lvs.Check{Kind: lvs.CheckHTTP, Request: "/to?url=" + tt.to, Host: "www.invalid", Receive: tt.receive}
			expect(t, check(t, c, addrOf(plain)), "", "")
		})
	}
}

func TestHTTPWholeURL(t *testing.T) {
	server := httptest.NewServer(pages(t))
	defer server.Close()
	url := "http://" + addrOf(server).String() + "/echo"
	c := lvs.Check{Kind: lvs.CheckHTTP, Request: url, Host: "www.example.com", Receive: "host=www.example.com "}
	expect(t, check(t, c, closedPort(t)), "", "")
	c.Request = "/" + url
	expect(t, check(t, c, closedPort(t)), "", "")
}

func TestHTTPNotHTTP(t *testing.T) {
	c := lvs.Check{Kind: lvs.CheckHTTP, Request: "/"}
	expect(t, check(t, c, serve(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH\r\n") })), lvs.ReasonMismatch, "the answer is not HTTP")
	early := func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		io.Copy(io.Discard, c)
	}
	expect(t, check(t, lvs.Check{Kind: lvs.CheckHTTP, Receive: "ok"}, serve(t, early)), "", "")
	endless := func(c net.Conn) {
		for c.SetDeadline(time.Now().Add(5*time.Second)) == nil {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
				return
			}
		}
	}
	expect(t, check(t, c, serve(t, endless)), lvs.ReasonReset, "connection closed")
	hangUp := func(c net.Conn) { c.Read(make([]byte, 1024)) }
	expect(t, check(t, c, serve(t, hangUp)), lvs.ReasonReset, "connection closed")
	reset := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }
	if err := check(t, c, serve(t, reset)); err == nil || !strings.HasPrefix(err.Error(), "connection ") {
		t.Errorf("reset gives %v", err)
	}
}
