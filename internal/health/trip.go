package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"
)

// A trip carries one request over a connection of its own. A kept connection
// would only show that it lives, and the library's transport logs what odd
// servers say where nobody asked it to.
type trip struct {
	serverName string // for TLS; empty: the URL's own
}

// mostBytes bounds an answer with its headers. It is well above mostBody, so
// that a page is cut there, and only an endless header or chunking ends here.
const mostBytes = 4 * mostBody

// RoundTrip is http.RoundTripper's.
func (t *trip) RoundTrip(req *http.Request) (*http.Response, error) {
	conn, err := t.dial(req)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(req.Context(), func() { conn.SetDeadline(time.Unix(1, 0)) })
	done := closer(func() error { stop(); return conn.Close() })
	resp, err := exchange(conn, req)
	if err != nil {
		done.Close()
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{resp.Body, done}
	return resp, nil
}

func (t *trip) dial(req *http.Request) (net.Conn, error) {
	host, port := req.URL.Hostname(), req.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
	}
	d := net.Dialer{KeepAlive: -1}
	conn, err := d.DialContext(req.Context(), "tcp", net.JoinHostPort(host, port))
	if err != nil || req.URL.Scheme != "https" {
		return conn, err
	}
	name := t.serverName
	if name == "" {
		name = host
	}
	secure := tls.Client(conn, unproven(name))
	if err := secure.HandshakeContext(req.Context()); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// exchange asks for the connection to be closed and reads the answer up to
// its body, past any 1xx that announces it.
func exchange(conn net.Conn, req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(conn, mostBytes))
	for {
		resp, err := http.ReadResponse(in, req)
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

// unproven asks for no proof of identity and takes every cipher: the check
// wants to know whether the server answers, sends no secret, and knows the
// real server by its address, which no certificate names. ldirectord meant
// the same; that the libraries of today verify the chain nevertheless is an
// accident of theirs.
func unproven(name string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		ServerName:         name,
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       everyCipher,
	}
}

var everyCipher = func() (ids []uint16) {
	for _, suites := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range suites {
			ids = append(ids, s.ID)
		}
	}
	return ids
}()

// A closer is a function that is an io.Closer.
type closer func() error

// Close calls it.
func (c closer) Close() error { return c() }
