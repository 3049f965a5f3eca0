package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/api/token"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

const someOrder = `{"changes":[{"kind":"order","service":{"service":"tcp:192.0.2.1:80"},"destination":{"destination":"10.0.0.1:80","weight":0}}]}`

func remoteOptions() Options {
	o := options()
	nothing := func(context.Context, lvs.Match) (string, config.Problems, error) { return "f", nil, nil }
	o.Reload, o.Rollback = nothing, nothing
	o.Zero = func(context.Context, *lvs.ServiceKey) error { return nil }
	o.Down = func() []lvs.ServiceKey { return nil }
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x 1\n") })
	return o
}

// TestRoles: what each role may do, and what becomes of the others' requests.
func TestRoles(t *testing.T) {
	g := newGate(t, remoteOptions())
	plain := g.client("")
	for _, tt := range []struct {
		method, path, body string
		need               lvs.Role
	}{
		{"GET", "/v1/status", "", lvs.RoleRead}, {"GET", "/metrics", "", lvs.RoleRead}, {"GET", "/openapi.json", "", lvs.RoleRead},
		{"GET", "/nowhere", "", lvs.RoleRead},
		{"POST", "/v1/changes", someOrder, lvs.RoleOperate}, {"POST", "/v1/zero", "", lvs.RoleOperate},
		{"PUT", "/v1/services/tcp:192.0.2.1:80/destinations/10.0.0.1:80/order", `{"weight":0}`, lvs.RoleOperate},
		{"POST", "/v1/changes", `{"changes":[` + someOrder[12:len(someOrder)-2] + `,{"kind":"clear"}]}`, lvs.RoleAdmin},
		{"DELETE", "/v1/services/tcp:192.0.2.1:80", "", lvs.RoleAdmin}, {"PUT", "/v1/table", `{"services":[]}`, lvs.RoleAdmin},
		{"GET", "/v1/config", "", lvs.RoleAdmin}, {"POST", "/v1/reload", "", lvs.RoleAdmin}, {"POST", "/v1/down", "", lvs.RoleAdmin},
	} {
		for role := lvs.RoleRead; role <= lvs.RoleAdmin; role++ {
			before := len(g.records())
			resp, v := g.ask(plain, g.tokens[role], tt.method, tt.path, tt.body)
			added := g.records()[before:]
			refused := resp.StatusCode == 403 && v["type"] == "urn:weir:forbidden" && resp.Header.Get("Content-Type") == "application/problem+json" &&
				strings.Contains(v["detail"].(string), "needs the role ")
			if may := role >= tt.need; may == (resp.StatusCode == 403) || !may && !refused {
				t.Errorf("%s %s as %s: %d %v", tt.method, tt.path, role, resp.StatusCode, v)
			}
			written := role < tt.need || tt.method != "GET"
			if written != (len(added) > 0) {
				t.Errorf("%s %s as %s: written down %v", tt.method, tt.path, role, added)
			}
			for _, r := range added {
				if r.Who != "t-"+role.String() || r.Login != "token" || (r.Outcome == "refused") != (role < tt.need) || !strings.HasPrefix(r.From, "127.0.0.1:") {
					t.Errorf("written down %+v", r)
				}
			}
		}
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	g := newGate(t, remoteOptions())
	plain := g.client("")
	for _, secret := range []string{"", "x", "weir_" + strings.Repeat("A", 43), g.tokens[lvs.RoleAdmin] + "A"} {
		resp, v := g.ask(plain, secret, "GET", "/v1/status", "")
		if resp.StatusCode != 401 || v["type"] != "urn:weir:unauthenticated" || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") ||
			!strings.Contains(v["detail"].(string), "send a token") {
			t.Errorf("%q: %d %v", secret, resp.StatusCode, v)
		}
	}
	if n := len(g.records()); n != 4 {
		t.Errorf("%d lines", n)
	}
	if resp, err := http.Get("http://" + g.c.Listen[0].String() + "/v1/status"); err == nil && resp.StatusCode < 400 {
		t.Errorf("without TLS: %v", resp.Status)
	}
	old := g.client("")
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if _, err := old.Get(g.url("/v1/status")); err == nil {
		t.Error("TLS 1.1 is taken")
	}
}

func TestCertificates(t *testing.T) {
	g := newGate(t, remoteOptions())
	for _, name := range []string{"watcher", "boss", "stranger"} {
		g.issue(name, g.issuer, g.key)
	}
	own, ownKey := g.issuer, g.key
	otherKey, other := g.issue("other-ca", nil, nil)
	g.issue("boss", other, otherKey)
	for _, end := range []string{".crt", ".key"} {
		if err := os.Rename(g.path("boss"+end), g.path("impostor"+end)); err != nil {
			t.Fatal(err)
		}
	}
	g.issuer, g.key = own, ownKey
	g.issue("boss", g.issuer, g.key)
	for _, tt := range []struct {
		name         string
		status, down int
		who          string
	}{{"watcher", 200, 403, "watcher"}, {"boss", 200, 200, "boss"}, {"stranger", 403, 403, "stranger"}, {"impostor", 401, 401, ""}} {
		c := g.client(tt.name)
		if resp, v := g.ask(c, "", "GET", "/v1/status", ""); resp.StatusCode != tt.status {
			t.Errorf("%s: status %d %v", tt.name, resp.StatusCode, v)
		}
		if resp, v := g.ask(c, "", "POST", "/v1/down", ""); resp.StatusCode != tt.down {
			t.Errorf("%s: down %d %v", tt.name, resp.StatusCode, v)
		}
		last := g.records()[len(g.records())-1]
		if last.Who != tt.who || last.Status != tt.down || strings.Contains(last.Why, "not believed") != (tt.name == "impostor") {
			t.Errorf("%s: %+v", tt.name, last)
		}
	}
	// A page of others that a browser with a good certificate looks at.
	r, _ := http.NewRequest("POST", g.url("/v1/down"), nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if resp, err := g.client("boss").Do(r); err != nil || resp.StatusCode != 403 {
		t.Errorf("from another origin: %v %v", resp, err)
	}
	// A token that comes with a good certificate counts, and is not good.
	if resp, _ := g.ask(g.client("boss"), "x", "GET", "/v1/status", ""); resp.StatusCode != 401 {
		t.Errorf("a bad token beside a certificate: %d", resp.StatusCode)
	}
}

// TestReloadingKeysCutsWhoIsGone: a new certificate is served to new
// connections and old ones stay, but the stream of a removed token ends.
func TestReloadingKeysCutsWhoIsGone(t *testing.T) {
	o := remoteOptions()
	d := &fakeDirector{next: make(chan struct{})}
	d.happen(lvs.Event{At: then, Kind: "first"})
	o.Director = d
	g := newGate(t, o)
	streams := map[lvs.Role]*bufio.Reader{}
	for _, role := range []lvs.Role{lvs.RoleRead, lvs.RoleAdmin} {
		r, _ := http.NewRequest("GET", g.url("/v1/events/stream?since=1970-01-01T00:00:01Z"), nil)
		r.Header.Set("Authorization", "Bearer "+g.tokens[role])
		resp, err := g.client("").Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		streams[role] = bufio.NewReader(resp.Body)
		if line, err := streams[role].ReadString('\n'); err != nil || !strings.Contains(line, "first") && !strings.Contains(line, "event") {
			t.Fatalf("%s: %q %v", role, line, err)
		}
	}
	fresh := g.serverCertificate()
	if err := token.Remove(g.c.Tokens, "t-read"); err != nil {
		t.Fatal(err)
	}
	if problems := g.door.Set(g.c); len(problems) > 0 {
		t.Fatal(problems)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, streams[lvs.RoleRead]) // that it ends is the point, not how
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream of the removed token goes on")
	}
	d.happen(lvs.Event{At: then, Kind: "first"}, lvs.Event{At: then.Add(1), Kind: "second"})
	close(d.next)
	if text, err := readUntil(streams[lvs.RoleAdmin], "second"); err != nil {
		t.Errorf("the other stream: %q %v", text, err)
	}
	if resp, _ := g.ask(g.client(""), g.tokens[lvs.RoleRead], "GET", "/v1/status", ""); resp.StatusCode != 401 {
		t.Errorf("a removed token: %d", resp.StatusCode)
	}
	conn, err := tls.Dial("tcp", g.c.Listen[0].String(), g.client("").Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if !conn.ConnectionState().PeerCertificates[0].Equal(fresh) {
		t.Error("the old certificate is served")
	}
}

func readUntil(r *bufio.Reader, word string) (string, error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.Contains(line, word) {
			return line, err
		}
	}
}

// TestBrokenFilesAreToldWithTheirLine: the certificate stays, tokens do not.
func TestBrokenFilesAreToldWithTheirLine(t *testing.T) {
	g := newGate(t, remoteOptions())
	for _, name := range []string{g.c.Key, g.c.Tokens} {
		if err := os.WriteFile(name, []byte("no such thing"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	problems := g.door.Set(g.c)
	var text strings.Builder
	for _, p := range problems {
		text.WriteString(p.String() + "\n")
	}
	if len(problems) != 2 || !strings.Contains(text.String(), "f:3: warning: api: certificate "+g.c.Certificate+" with key "+g.c.Key) || !strings.Contains(text.String(), "f:3: warning: api: tokens: ") {
		t.Errorf("%s", &text)
	}
	if resp, _ := g.ask(g.client(""), g.tokens[lvs.RoleAdmin], "GET", "/v1/status", ""); resp.StatusCode != 401 {
		t.Errorf("a token of a broken file: %d", resp.StatusCode)
	}
	if err := os.Chmod(g.c.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	if problems = g.door.Set(g.c); len(problems) != 3 || !strings.Contains(problems[1].Text, "chmod 0600") {
		t.Errorf("%v", problems)
	}
	if err := os.Chmod(g.c.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	g.c.Listen = append(g.c.Listen, netip.MustParseAddrPort("192.0.2.254:1"))
	if problems = g.door.Set(g.c); len(problems) != 3 || !servedAt(g.door, "https://"+g.c.Listen[0].String()) {
		t.Errorf("%v", problems)
	}
	g.door.Set(config.API{})
	if c, err := net.Dial("tcp", g.c.Listen[0].String()); err == nil {
		c.Close()
		t.Error("still open")
	}
}

// servedAt tells whether that is the only address, and everything wrong told.
func servedAt(d *Door, want string) bool {
	at, wrong := d.Served()
	return slices.Equal(at, []string{want}) && len(wrong) == 3
}

// TestLimits: who asks too much is told to wait, and it is written down with
// its number; whose logins fail too often likewise, but not others there.
func TestLimits(t *testing.T) {
	g := newGate(t, remoteOptions())
	plain := g.client("")
	statuses := map[int]int{}
	for range 100 {
		resp, _ := g.ask(plain, "weir_nonsense", "GET", "/v1/status", "")
		statuses[resp.StatusCode]++
		if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if statuses[401] < 60 || statuses[401] > 70 || statuses[429] < 30 {
		t.Errorf("failed logins: %v", statuses)
	}
	if resp, _ := g.ask(plain, g.tokens[lvs.RoleRead], "GET", "/v1/status", ""); resp.StatusCode != 200 {
		t.Errorf("a good login beside failed ones: %d", resp.StatusCode)
	}
	g.c.Rate = 5
	g.door.Set(g.c)
	statuses = map[int]int{}
	for range 40 {
		resp, _ := g.ask(plain, g.tokens[lvs.RoleRead], "GET", "/v1/status", "")
		statuses[resp.StatusCode]++
	}
	if statuses[200] < 5 || statuses[429] < 15 {
		t.Errorf("requests: %v", statuses)
	}
	told := 0
	for _, r := range g.records() {
		if r.Status == 429 {
			told++
		}
	}
	if told == 0 || told > 5 {
		t.Errorf("%d lines of refusals", told)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	g := newGate(t, remoteOptions()) // 64, so one address may have 16
	var held []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", g.c.Listen[0].String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	closed := 0
	for _, c := range held {
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !os.IsTimeout(err) {
			closed++
		}
	}
	if closed != 4 {
		t.Errorf("%d of 20 were closed, want 4", closed)
	}
	for _, c := range held {
		c.Close()
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			c := g.client("")
			for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				r, _ := http.NewRequest("GET", g.url("/v1/status"), nil)
				r.Header.Set("Authorization", "Bearer "+g.tokens[lvs.RoleRead])
				if resp, err := c.Do(r); err == nil {
					resp.Body.Close()
					return
				}
				if time.Now().After(end) {
					t.Error("there is still no room")
					return
				}
			}
		})
	}
	all.Wait()
	big := strings.Repeat("x", 40<<10)
	r, _ := http.NewRequest("GET", g.url("/v1/status"), nil)
	r.Header.Set("X-Big", big)
	if resp, err := g.client("").Do(r); err == nil && resp.StatusCode != 431 {
		t.Errorf("large headers: %d", resp.StatusCode)
	}
	if resp, _ := g.ask(g.client(""), g.tokens[lvs.RoleAdmin], "POST", "/v1/services", `{"service":"`+strings.Repeat("x", 2<<20)+`"}`); resp.StatusCode != 413 {
		t.Errorf("a large body: %d", resp.StatusCode)
	}
}

// TestTheDescriptionTellsOfLogins: schemes, and the refusals of each operation.
func TestTheDescriptionTellsOfLogins(t *testing.T) {
	g := newGate(t, remoteOptions())
	_, doc := g.ask(g.client(""), g.tokens[lvs.RoleRead], "GET", "/openapi.json", "")
	schemes := doc["components"].(map[string]any)["securitySchemes"].(map[string]any)
	if schemes["token"] == nil || schemes["certificate"] == nil {
		t.Errorf("schemes %v", schemes)
	}
	n := 0
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			n++
			o := op.(map[string]any)
			answers := o["responses"].(map[string]any)
			if o["security"] == nil || answers["401"] == nil || answers["403"] == nil || answers["429"] == nil {
				t.Errorf("%s %s: %v", method, path, answers)
			}
		}
	}
	if n < 25 {
		t.Errorf("%d operations", n)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	o := remoteOptions()
	o.Director = &fakeDirector{next: make(chan struct{})}
	handler := Handler(o)
	ctx, cancel := context.WithCancel(t.Context())
	const more = 6
	refused := make(chan *quiet, mostFollowers+more)
	var all sync.WaitGroup
	for range mostFollowers + more {
		all.Go(func() {
			w := &quiet{}
			handler.ServeHTTP(w, mustRequest(ctx))
			refused <- w
		})
	}
	for range more { // the others stay until they are told to go
		if w := <-refused; w.status != 429 || w.header.Get("Retry-After") == "" {
			t.Errorf("one too many: %d %v", w.status, w.header)
		}
	}
	cancel()
	all.Wait()
	for range mostFollowers {
		if w := <-refused; w.status == 429 {
			t.Error("more than the surplus were refused")
		}
	}
}

func mustRequest(ctx context.Context) *http.Request {
	ctx = guard.With(ctx, &guard.Call{Login: guard.LoginSocket, Role: lvs.RoleRead})
	r, err := http.NewRequestWithContext(ctx, "GET", "/v1/events/stream", nil)
	if err != nil {
		panic(err)
	}
	return r
}

// A quiet writer takes everything.
type quiet struct {
	header http.Header
	status int
}

func (q *quiet) Header() http.Header {
	if q.header == nil {
		q.header = http.Header{}
	}
	return q.header
}
func (q *quiet) Write(b []byte) (int, error)      { return len(b), nil }
func (q *quiet) WriteHeader(s int)                { q.status = s }
func (q *quiet) Flush()                           {}
func (q *quiet) SetWriteDeadline(time.Time) error { return nil }
