package client

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elsewhere serves h over TLS and says how to reach it.
func elsewhere(t *testing.T, h http.HandlerFunc) Remote {
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return Remote{Server: s.URL, CA: ca}
}

func TestAWeirElsewhereIsSentTheToken(t *testing.T) {
	got := ""
	r := elsewhere(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = w.Write([]byte("{}"))
	})
	r.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(r.TokenFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRemote(r).Status(t.Context()); err != nil || got != "Bearer secret" {
		t.Errorf("%q %v", got, err)
	}
}

// TestTheTokenDoesNotTravelOn: an answer that sends elsewhere is no answer.
func TestTheTokenDoesNotTravelOn(t *testing.T) {
	second := 0
	other := elsewhere(t, func(http.ResponseWriter, *http.Request) { second++ })
	r := elsewhere(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.Server+"/x", http.StatusTemporaryRedirect)
	})
	r.Token = "secret"
	var p *Problem
	if _, err := NewRemote(r).Status(t.Context()); !errors.As(err, &p) || p.Status != http.StatusTemporaryRedirect || second != 0 {
		t.Errorf("%v, asked %d times", err, second)
	}
}

func TestWhatIsWrongWithAWeirElsewhere(t *testing.T) {
	good := elsewhere(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	two := filepath.Join(t.TempDir(), "two")
	if err := os.WriteFile(two, []byte("a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		bad  func(*Remote)
		want string
	}{
		{"scheme", func(r *Remote) { r.Server = "http://x:1" }, "write it as https://host:port"},
		{"path", func(r *Remote) { r.Server += "/v1" }, "write it as https://host:port"},
		{"password", func(r *Remote) { r.Server = "https://u:p@x:1" }, "write it as https://host:port"},
		{"no such CA", func(r *Remote) { r.CA = "/nowhere/ca" }, "/nowhere/ca"},
		{"no certificate in it", func(r *Remote) { r.CA = two }, "give it as PEM"},
		{"no such token", func(r *Remote) { r.TokenFile = "/nowhere/t" }, "read the token"},
		{"two tokens", func(r *Remote) { r.TokenFile = two }, "does not hold one token"},
		{"half a pair", func(r *Remote) { r.Cert = two }, "give both certificate and key"},
		{"unknown issuer", func(r *Remote) { r.CA = "" }, "--ca"},
		{"nobody there", func(r *Remote) { r.Server = "https://127.0.0.1:1" }, ErrUnreachable.Error()},
	} {
		r := good
		tt.bad(&r)
		if _, err := NewRemote(r).Status(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestLongAnswers: metrics are passed on however long they are, and what is
// held in memory is refused, not cut off, if it is too long.
func TestLongAnswers(t *testing.T) {
	r := elsewhere(t, func(w http.ResponseWriter, _ *http.Request) {
		some := bytes.Repeat([]byte(" "), 1<<20)
		for range answerLimit>>20 + 1 {
			_, _ = w.Write(some)
		}
	})
	var n counter
	if err := NewRemote(r).Metrics(t.Context(), &n); err != nil || n != answerLimit+1<<20 {
		t.Errorf("%d bytes of metrics, %v", n, err)
	}
	if _, err := NewRemote(r).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("%v", err)
	}
}

// A counter counts what is written to it.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}
