package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestOddRequests: what fits no operation, or is not what it says, is refused
// with a short problem of RFC 9457, and changes nothing.
func TestOddRequests(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.m.Socket)
	}}
	defer tr.CloseIdleConnections()
	c := http.Client{Transport: tr}
	before := b.tags()
	const js = "application/json"
	for _, tt := range []struct {
		method, path, kind, body string
		status                   int
	}{
		{"GET", "/", "", "", 404},
		{"GET", "/v1/nowhere", "", "", 404},
		{"GET", "/v1/services/", "", "", 404},
		{"DELETE", "/v1/table", "", "", 405},
		{"PATCH", "/v1/services", js, "{}", 405},
		{"TRACE", "/v1/status", "", "", 405},
		{"FROB", "/v1/status", "", "", 405},
		{"POST", "/v1/services", "text/plain", `{"service":"fwm:1"}`, 415},
		{"POST", "/v1/services", "application/xml", strings.Repeat("<a/>", 100_000), 415},
		{"POST", "/v1/services", js, `{"service":"fwm:1","frob":"` + strings.Repeat("x", 100_000) + `"}`, 422},
		{"POST", "/v1/services", js, `{"Service":"fwm:1"}`, 422},
		{"POST", "/v1/services", js, `{"service":"fwm:1","scheduler":"` + strings.Repeat("x", 100_000) + `"}`, 422},
		{"POST", "/v1/services", js, `{"service":"fwm:1"} {}`, 400},
		{"POST", "/v1/services", js, strings.Repeat("[", 100_000), 400},
		{"POST", "/v1/services", js, strings.Repeat(" ", 2<<20), 413},
		{"PUT", "/v1/config", js, "{\"text\":\"# caf\xe9\\n\"}", 400},
		{"PUT", "/v1/config", js, `{"text":"` + strings.Repeat("x", 17<<20) + `"}`, 422},
		{"POST", "/v1/changes", js, `{"changes":[{"kind":"frob"}]}`, 422},
		{"POST", "/v1/changes", js, `{"changes":{}}`, 422},
		{"PUT", "/v1/table", js, `null`, 422},
		{"PUT", "/v1/table", js, ``, 400},
		{"GET", "/v1/events?wait=301", "", "", 422},
	} {
		what := tt.method + " " + tt.path + " " + tt.kind + " " + tt.body[:min(len(tt.body), 40)]
		r, err := http.NewRequest(tt.method, "http://weir"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", tt.kind)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var p struct {
			Status int
			Detail string
		}
		if err != nil || json.Unmarshal(text, &p) != nil || p.Status != tt.status || p.Detail == "" || resp.StatusCode != tt.status ||
			resp.Header.Get("Content-Type") != "application/problem+json" || len(text) > 4096 {
			t.Errorf("%s: %d %s, %d bytes: %.300s", what, resp.StatusCode, resp.Header.Get("Content-Type"), len(text), text)
		}
		if tt.status == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%s: nobody says what is allowed", what)
		}
	}
	if now := b.tags(); now != before {
		t.Errorf("%s became %s", before, now)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
