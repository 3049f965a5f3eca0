package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ask sends one request to the daemon's API and reads the answer.
func (b *bench) ask(method, path, body string, header ...string) (int, http.Header, map[string]any) {
	b.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.m.Socket)
	}}}
	r, err := http.NewRequest(method, "http://weir"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var v map[string]any
	_ = json.Unmarshal(text, &v) // a list, or nothing, has no fields to look at
	return resp.StatusCode, resp.Header, v
}

// TestTheTableOverHTTP: everything that is changed by hand, and the refusals
// with their types.
func TestTheTableOverHTTP(t *testing.T) {
	b := newBench(t, "services: []\n")
	b.start()
	const web, one = "/v1/services/tcp:192.0.2.1:80", "/v1/services/tcp:192.0.2.1:80/destinations/10.0.0.1:80"
	for _, step := range []struct {
		method, path, body string
		status             int
		kind               string // of the problem
	}{
		{"GET", web, "", 404, "no-service"},
		{"POST", "/v1/services", `{"service":"tcp:192.0.2.1:80","scheduler":"rr"}`, 201, ""},
		{"POST", "/v1/services", `{"service":"-t 192.0.2.1:80"}`, 409, "service-exists"},
		{"POST", "/v1/services", `{"service":"tcp:192.0.2.2:80","scheduler":"bogus"}`, 422, "no-scheduler"},
		{"POST", "/v1/services", `{"service":"nonsense"}`, 422, "invalid"},
		{"PUT", web, `{"service":"tcp:192.0.2.1:80","scheduler":"wlc","persistence":60}`, 200, ""},
		{"PUT", web, `{"service":"tcp:192.0.2.9:80"}`, 422, ""},
		{"POST", web + "/destinations", `{"destination":"10.0.0.1:80","forward":"masq","weight":3}`, 201, ""},
		{"POST", web + "/destinations", `{"destination":"10.0.0.1:80","weight":3}`, 409, "destination-exists"},
		{"POST", web + "/destinations", `{"destination":"10.0.0.2:80","weight":1,"lower":5}`, 422, "out-of-range"},
		{"POST", web + "/destinations", `{"destination":"224.0.0.1:80","weight":1}`, 422, "invalid"},
		{"PUT", one, `{"destination":"10.0.0.1:80","forward":"masq","weight":7}`, 200, ""},
		{"PUT", one + "/order", `{"weight":0}`, 200, ""},
		{"DELETE", one + "/order", "", 200, ""},
		{"PUT", "/v1/services/tcp:192.0.2.1:80/destinations/10.0.0.9:80/order", `{"weight":0}`, 404, "no-destination"},
		{"PUT", "/v1/timeouts", `{"tcp":1000,"tcp_fin":0,"udp":0}`, 200, ""},
		{"POST", "/v1/zero", "", 200, ""},
		{"POST", "/v1/zero?service=udp:192.0.2.1:80", "", 404, "no-service"},
		{"PUT", "/v1/table", `{"services":[{"service":"tcp:192.0.2.5:80","destinations":[]},{"service":"tcp:192.0.2.6:80","scheduler":"bogus","destinations":[]}]}`, 422, "no-scheduler"},
		{"GET", web, "", 200, ""},
		{"DELETE", one, "", 204, ""},
		{"DELETE", one, "", 404, "no-destination"},
		{"PUT", "/v1/table", `{"services":[{"service":"fwm:7","destinations":[{"destination":"10.0.0.1:0","weight":1}]}]}`, 200, ""},
		{"DELETE", web, "", 404, "no-service"},
		{"DELETE", "/v1/services/fwm:7", "", 204, ""},
	} {
		status, _, v := b.ask(step.method, step.path, step.body)
		kind, _ := v["type"].(string)
		if status != step.status || step.kind != "" && kind != "urn:weir:"+step.kind {
			t.Errorf("%s %s %s: %d %v", step.method, step.path, step.body, status, v)
		}
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestLostUpdates: of two who have read the same, one is told that it has
// changed meanwhile.
func TestLostUpdates(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	const web = "/v1/services/tcp:192.0.2.1:80"
	_, h, _ := b.ask("GET", web, "")
	tag := h.Get("ETag")
	body := `{"service":"tcp:192.0.2.1:80","scheduler":"sed"}`
	if status, _, v := b.ask("PUT", web, body, "If-Match", tag); status != 200 || v["by_hand"] != "changed" {
		t.Errorf("the first: %d %v", status, v)
	}
	if status, _, v := b.ask("PUT", web, body, "If-Match", tag); status != 412 || v["type"] != "urn:weir:changed" {
		t.Errorf("the second: %d %v", status, v)
	}
	_, h, _ = b.ask("GET", "/v1/table", "")
	for _, want := range []int{200, 412} {
		if status, _, v := b.ask("PUT", "/v1/table", `{"services":[]}`, "If-Match", h.Get("ETag")); status != want {
			t.Errorf("the table: %d %v", status, v)
		}
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestRandomRequests: whatever is asked, nobody gets a 500 and the daemon
// stays.
func TestRandomRequests(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	keys := []string{"tcp:192.0.2.1:80", "udp:[2001:db8::1]:53", "fwm:7", "fwm:7%20-6", "x", "tcp:0.0.0.0:0", "tcp:1.2.3.4:99999", "sctp:192.0.2.1:1", "%00", "-t%20192.0.2.1:80"}
	values := []string{"0", "-1", "1", "99999999999", `"x"`, "null", "{}", "[]", `"10.0.0.1:80"`, `"-t 192.0.2.1:80"`, `"[::]:0"`, "true", `"masq"`, `"gue"`, `"rr"`, `""`}
	fields := []string{"service", "scheduler", "destination", "weight", "forward", "flags", "persistence", "persistence_mask", "tunnel_port", "tunnel_checksum",
		"upper", "lower", "kind", "tcp", "tcp_fin", "udp", "services", "changes", "until", "match"}
	object := func() string {
		parts := []string{}
		for range r.IntN(6) {
			parts = append(parts, `"`+pick(fields...)+`":`+pick(values...))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	good := 0
	for range 3000 {
		path := pick("/v1/services", "/v1/services/"+pick(keys...), "/v1/services/"+pick(keys...)+"/destinations",
			"/v1/services/"+pick(keys...)+"/destinations/"+pick("10.0.0.1:80", "x", "[::1]:1", "%20"),
			"/v1/services/"+pick(keys...)+"/destinations/10.0.0.1:80/order", "/v1/table", "/v1/changes", "/v1/zero", "/v1/timeouts",
			"/v1/connections?limit="+pick("1", "-1", "x")+"&cursor="+pick("0", "5", "-5"), "/v1/status", "/v1/totals", "/openapi.json")
		body := pick(object(), "", "{", "[]", `{"changes":[`+object()+","+object()+"]}", `{"services":[`+object()+"]}",
			`{"changes":[{"kind":"`+pick("add-server", "clear", "set", "order", "revoke", "edit-service")+`","service":`+object()+`,"destination":`+object()+`}]}`)
		header := []string{"If-Match", pick("", "*", `"x"`, `"`)}
		if r.IntN(2) == 0 {
			header = nil
		}
		status, _, v := b.ask(pick("GET", "POST", "PUT", "DELETE"), path, body, header...)
		if status >= 500 && status != 501 && status != 507 {
			t.Fatalf("%s with %s: %d %v", path, body, status, v)
		}
		if status < 300 {
			good++
		}
	}
	if good < 100 {
		t.Errorf("only %d of the requests were good ones", good)
	}
	if status, _, _ := b.ask("GET", "/v1/status", ""); status != 200 {
		t.Errorf("status %d", status)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestEventsStream: what happens arrives while the request stands, and the
// daemon ends all the same.
func TestEventsStream(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.m.Socket)
	}}}
	ended := make(chan string, 1)
	before := time.Now().UTC().Format(time.RFC3339Nano)
	b.speak("", "ipvsadm", "-A", "-t", "192.0.2.9:80")
	resp, err := c.Get("http://weir/v1/events/stream?since=" + before)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go func() {
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() && !strings.Contains(lines.Text(), "192.0.2.10:80") {
		}
		ended <- lines.Text()
	}()
	b.speak("", "ipvsadm", "-A", "-t", "192.0.2.10:80")
	var e struct{ Kind, Service string }
	line := <-ended
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &e); err != nil || e.Kind != "by-hand" || e.Service != "-t 192.0.2.10:80" {
		t.Errorf("%q: %v", line, err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

func TestMetricsAreServed(t *testing.T) {
	b := newBench(t, cf(7, ""))
	b.start()
	out, errs, code := b.weir("metrics")
	if code != 0 || errs != "" || !strings.Contains(out, `weir_destination_weight{destination="10.0.0.1:80",service="-t 192.0.2.1:80"} 7`) ||
		!strings.Contains(out, "process_open_fds") {
		t.Errorf("%d %s\n%.500s", code, errs, out)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
