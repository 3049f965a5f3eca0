package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// A maker makes up requests from the OpenAPI description that is served.
type maker struct {
	r   *rand.Rand
	doc map[string]any
	ops []operation
}

type operation struct {
	id, method, path string
	need             string // role
	params           []any
	body             any // its schema; nil: none
}

func newMaker(doc map[string]any, seed uint64) *maker {
	m := &maker{r: rand.New(rand.NewPCG(seed, 7)), doc: doc}
	for path, item := range doc["paths"].(map[string]any) {
		for method, x := range item.(map[string]any) {
			o := x.(map[string]any)
			op := operation{id: o["operationId"].(string), method: strings.ToUpper(method), path: path}
			for _, way := range o["security"].([]any) {
				for _, roles := range way.(map[string]any) {
					op.need = roles.([]any)[0].(string)
				}
			}
			op.params, _ = o["parameters"].([]any)
			if b, ok := o["requestBody"].(map[string]any); ok {
				op.body = b["content"].(map[string]any)["application/json"].(map[string]any)["schema"]
			}
			m.ops = append(m.ops, op)
		}
	}
	slices.SortFunc(m.ops, func(a, b operation) int { return strings.Compare(a.id, b.id) }) // a seed means the same each time
	return m
}

func pick[T any](m *maker, from ...T) T { return from[m.r.IntN(len(from))] }

// text is one that has a meaning somewhere, or none.
func (m *maker) text() string {
	return pick(m, "tcp:192.0.2.1:80", "-t 192.0.2.1:80", "udp:[2001:db8::1]:53", "fwm:7", "10.0.0.1:80", "10.0.0.2:80", "rr", "wlc", "masq", "gue", "",
		"x", "\x00", "%", "..", "ä", "255.255.255.0", "2026-01-01T00:00:00Z", strings.Repeat("y", 200))
}

// value is one that fits the schema, mostly.
func (m *maker) value(schema any, depth int) any {
	s, _ := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		all := m.doc["components"].(map[string]any)["schemas"].(map[string]any)
		return m.value(all[ref[strings.LastIndex(ref, "/")+1:]], depth)
	}
	if m.r.IntN(12) == 0 || depth > 6 {
		return pick[any](m, nil, true, -1, 1e18, 1.5, "x", []any{}, map[string]any{})
	}
	if words, ok := s["enum"].([]any); ok {
		return pick(m, words...)
	}
	kind, _ := s["type"].(string)
	if kinds, ok := s["type"].([]any); ok {
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "object":
		o := map[string]any{}
		must, _ := s["required"].([]any)
		fields, _ := s["properties"].(map[string]any)
		for _, name := range sortedKeys(fields) {
			if slices.Contains(must, any(name)) && m.r.IntN(20) > 0 || m.r.IntN(2) == 0 {
				o[name] = m.value(fields[name], depth+1)
			}
		}
		return o
	case "array":
		list := []any{}
		for range m.r.IntN(4) {
			list = append(list, m.value(s["items"], depth+1))
		}
		return list
	case "integer", "number":
		return pick[any](m, 0, 1, 2, 60, 65535, 1<<31-1, 1<<32, -1)
	case "boolean":
		return pick(m, true, false)
	}
	return m.text()
}

func sortedKeys(o map[string]any) []string {
	keys := []string{}
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// request makes one up, with a body that is one of texts where a whole
// configuration is asked for.
func (m *maker) request(base string, op operation, texts []string) *http.Request {
	path, query := op.path, url.Values{}
	header := http.Header{"Content-Type": {"application/json"}}
	for _, p := range op.params {
		x := p.(map[string]any)
		name, v := x["name"].(string), fmt.Sprint(m.value(x["schema"], 0))
		switch x["in"] {
		case "path":
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(pick(m, "tcp:192.0.2.1:80", "10.0.0.1:80", m.text())))
		case "query":
			if required, _ := x["required"].(bool); required || m.r.IntN(2) == 0 {
				query.Set(name, v)
			}
		case "header":
			if m.r.IntN(4) == 0 {
				header.Set(name, url.QueryEscape(v))
			}
		}
	}
	if query.Has("wait") {
		query.Set("wait", pick(m, "0", "x", "-1"))
	}
	body := ""
	if op.body != nil {
		v := m.value(op.body, 0)
		if o, ok := v.(map[string]any); ok && o["text"] != nil {
			o["text"] = pick(m, texts...)
		}
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		body = pick(m, string(b), string(b), string(b), string(b), "", "{", string(b[:len(b)/2]))
	}
	method := op.method
	switch m.r.IntN(30) { // not what it says, or not what there is
	case 0:
		header.Set("Content-Type", pick(m, "", "text/plain", "application/json; charset=utf-8", "application/xml", "x"))
	case 1:
		method = pick(m, "PATCH", "OPTIONS", "FROB", "DELETE", "HEAD", "PUT")
	case 2:
		body = strings.ReplaceAll(body, "a", "\xff")
	case 3:
		body = strings.Replace(body, "{", `{"frob":1,`, 1)
	}
	r, err := http.NewRequest(method, base+path+"?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header = header
	return r
}

// TestRandomRequestsOverTLS makes up requests from the served description, as
// each role and as nobody: no answer is a 500, who may not is refused and
// written down, who only looks changes nothing, and the daemon stays.
func TestRandomRequestsOverTLS(t *testing.T) {
	f := newFar(t, "")
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(f.path("api.crt"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	config, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(config), "services: nonsense\n", "x: [", "\x00"}
	_, _, doc := f.ask("GET", "/openapi.json", "")
	roles := []string{"read", "operate", "admin"}
	const each = 1000
	refused := 0
	for n, role := range []string{"nobody", "forger", "read", "operate", "admin"} {
		m := newMaker(doc, uint64(n))
		_, before, _ := f.ask("GET", "/v1/table", "")
		statuses := map[int]int{}
		for range each {
			op := pick(m, m.ops...)
			if op.id == "follow" || role == "admin" && (op.id == "down" || op.path == "/v1/down") {
				continue
			}
			r := m.request(f.url, op, texts)
			switch role {
			case "nobody":
			case "forger":
				r.Header.Set("Authorization", pick(m, "Bearer x", "Basic eDp5", "Bearer weir_"+strings.Repeat("A", 43), "\t"))
			default:
				secret, err := os.ReadFile(f.tokens[role])
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatalf("%s: %s %s: %v", role, r.Method, r.URL, err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			statuses[resp.StatusCode]++
			s := resp.StatusCode
			if s >= 500 && s != 501 && s != 507 {
				t.Fatalf("%s: %s %s: %d %s", role, r.Method, r.URL, s, text)
			}
			if kind := resp.Header.Get("Content-Type"); s >= 400 && kind != "application/problem+json" {
				t.Fatalf("%s: %s %s: %d %s %s", role, r.Method, r.URL, s, kind, text)
			}
			if len(text) > 16<<10 && s >= 400 {
				t.Fatalf("%s: %s %s: %d with %d bytes", role, r.Method, r.URL, s, len(text))
			}
			may := slices.Index(roles, role) >= slices.Index(roles, op.need)
			// A path can become that of another operation, or of none.
			if clean := !strings.Contains(r.URL.Path, "..") && r.Method == op.method; !may && clean && s != 401 && s != 403 && s != 404 && s != 405 && s != 429 {
				t.Errorf("%s may %s %s: %d %s", role, r.Method, r.URL, s, text)
			}
			if s == 401 || s == 403 || s == 429 {
				refused++
			}
		}
		_, after, _ := f.ask("GET", "/v1/table", "")
		if role != "admin" && role != "operate" && (before.Get("ETag") != after.Get("ETag") || statuses[401]+statuses[403]+statuses[429] < each/4) {
			t.Errorf("%s: the table was %s and is %s; %v", role, before.Get("ETag"), after.Get("ETag"), statuses)
		}
		if role == "admin" && (statuses[200]+statuses[201]+statuses[204] < each/10 || statuses[403]+statuses[401] > 0) {
			t.Errorf("admin: %v", statuses)
		}
	}
	if out, errs, code := f.remote("read", "status"); code != 0 || !strings.Contains(out, f.url) {
		t.Errorf("in the end: %d %s%s", code, out, errs)
	}
	if err := f.end(); err != nil {
		t.Error(err)
	}
	written := 0 // the last ones that were only counted are told at the end
	for _, r := range f.audited() {
		if r.Status == 401 || r.Status == 403 {
			written++
		}
		if r.Status == 429 {
			written += r.Times
		}
	}
	if written != refused {
		t.Errorf("%d were refused, %d are written down", refused, written)
	}
}
