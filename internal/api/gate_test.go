package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/api/token"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// A gate is a door on loopback with all its files.
type gate struct {
	t      *testing.T
	dir    string
	c      config.API
	door   *Door
	audit  string // path
	tokens map[lvs.Role]string
	issuer *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newGate(t *testing.T, o Options) *gate {
	g := &gate{t: t, dir: t.TempDir(), tokens: map[lvs.Role]string{}}
	g.audit = g.path("audit.log")
	records := audit.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err := records.To(g.audit); err != nil {
		t.Fatal(err)
	}
	g.key, g.issuer = g.issue("ca", nil, nil)
	g.serverCertificate()
	for _, r := range []lvs.Role{lvs.RoleRead, lvs.RoleOperate, lvs.RoleAdmin} {
		secret, e, err := token.New("t-"+r.String(), r, time.Now())
		if err == nil {
			err = token.Add(g.path("tokens"), e)
		}
		if err != nil {
			t.Fatal(err)
		}
		g.tokens[r] = secret
	}
	g.c = config.API{Listen: []netip.AddrPort{freePort(t)}, Certificate: g.path("server.crt"), Key: g.path("server.key"), ClientCA: g.path("ca.crt"),
		Tokens: g.path("tokens"), Rate: 1000, Connections: 64, Place: config.Place{File: "f", Line: 3},
		Clients: []config.APIClient{{Name: "watcher", Role: lvs.RoleRead}, {Name: "boss", Role: lvs.RoleAdmin}}}
	g.door = NewDoor(guard.New(records), Handler(o), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if problems := g.door.Set(g.c); len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.door.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = records.Close()
	})
	return g
}

func freePort(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func (g *gate) path(name string) string { return filepath.Join(g.dir, name) }

// issue makes a certificate and leaves it and its key in files of that name.
func (g *gate) issue(name string, issuer *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: issuer == nil}
	if issuer == nil {
		issuer, by = x, key
	}
	der, err := x509.CreateCertificate(rand.Reader, x, issuer, &key.PublicKey, by)
	if err != nil {
		g.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		g.t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(g.path(file), pem.EncodeToMemory(b), 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
	x, err = x509.ParseCertificate(der)
	if err != nil {
		g.t.Fatal(err)
	}
	return key, x
}

func (g *gate) serverCertificate() *x509.Certificate {
	_, x := g.issue("server", g.issuer, g.key)
	return x
}

// client comes with the certificate of that name; empty: without.
func (g *gate) client(name string) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(g.issuer)
	c := &tls.Config{RootCAs: roots}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(g.path(name+".crt"), g.path(name+".key"))
		if err != nil {
			g.t.Fatal(err)
		}
		// Sent whatever issuers the server asks for.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	tr := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
	return &http.Client{Transport: tr}
}

func (g *gate) url(path string) string { return "https://" + g.c.Listen[0].String() + path }

// ask asks with a client and a token, and reads the answer.
func (g *gate) ask(c *http.Client, secret, method, path, body string) (*http.Response, map[string]any) {
	g.t.Helper()
	r, err := http.NewRequest(method, g.url(path), strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	resp, err := c.Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	var v map[string]any
	_ = json.Unmarshal(text, &v)
	return resp, v
}

func (g *gate) records() (out []audit.Record) {
	text, err := os.ReadFile(g.audit)
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r audit.Record
		if err := json.Unmarshal(line, &r); err != nil {
			g.t.Errorf("%s: %v", line, err)
		}
		out = append(out, r)
	}
	for _, secret := range g.tokens {
		if strings.Contains(string(text), secret[5:]) {
			g.t.Error("a token is in the audit file")
		}
	}
	return out
}
