package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/director"
	"github.com/weir-lb/weir/internal/lvs"
)

// A changing is one operation that changes something.
type changing struct {
	id, method, path, body, of string // of: where to read the tag
}

const (
	webPath = "/v1/services/tcp:192.0.2.1:80"
	onePath = webPath + "/destinations/10.0.0.1:80"
)

// changings are all of them, in an order in which each succeeds.
func changings(configuration string) []changing {
	asText := func(text string) string {
		b, _ := json.Marshal(map[string]string{"text": text}) // strings always can
		return string(b)
	}
	return []changing{
		{"add-service", "POST", "/v1/services", `{"service":"tcp:192.0.2.8:80"}`, "/v1/table"},
		{"edit-service", "PUT", webPath, `{"service":"tcp:192.0.2.1:80","scheduler":"sed"}`, webPath},
		{"add-server", "POST", webPath + "/destinations", `{"destination":"10.0.0.2:80","weight":2}`, webPath},
		{"edit-server", "PUT", onePath, `{"destination":"10.0.0.1:80","weight":9}`, webPath},
		{"order", "PUT", onePath + "/order", `{"weight":0}`, webPath},
		{"revoke", "DELETE", onePath + "/order", "", webPath},
		{"delete-server", "DELETE", onePath, "", webPath},
		{"zero", "POST", "/v1/zero?service=tcp:192.0.2.1:80", "", webPath},
		{"zero", "POST", "/v1/zero", "", "/v1/table"},
		{"changes", "POST", "/v1/changes", `{"changes":[{"kind":"add-service","service":{"service":"tcp:192.0.2.9:80"}},{"kind":"set","timeouts":{"tcp":77,"tcp_fin":0,"udp":0}}]}`, "/v1/table"},
		{"changes", "POST", "/v1/changes", `{"changes":[]}`, "/v1/table"},
		{"changes", "POST", "/v1/changes", `{"changes":[{"kind":"add-server"}]}`, "/v1/table"},
		{"set-timeouts", "PUT", "/v1/timeouts", `{"tcp":1234,"tcp_fin":0,"udp":0}`, "/v1/timeouts"},
		{"start-sync", "POST", "/v1/sync-daemons", `{"role":"backup","interface":"eth0"}`, "/v1/sync-daemons"},
		{"stop-sync", "DELETE", "/v1/sync-daemons/backup", "", "/v1/sync-daemons"},
		{"handover", "POST", "/v1/routers/outside/handover", "", "/v1/routers"},
		{"apply-config", "PUT", "/v1/config", asText(configuration), "/v1/config"},
		{"rollback", "POST", "/v1/config/rollback", "", "/v1/config"},
		{"reload", "POST", "/v1/reload", "", "/v1/config"},
		{"delete-service", "DELETE", webPath, "", webPath},
		{"replace-table", "PUT", "/v1/table", `{"services":[{"service":"fwm:7","destinations":[]}]}`, "/v1/table"},
		{"down", "POST", "/v1/down", "", "/v1/table"},
	}
}

// tags are those of all there is.
func (b *bench) tags() string {
	b.t.Helper()
	out := ""
	for _, path := range []string{"/v1/table", "/v1/timeouts", "/v1/config", "/v1/sync-daemons", "/v1/routers"} {
		out += path + " " + b.tag(path) + " "
	}
	return out
}

func (b *bench) tag(path string) string {
	b.t.Helper()
	status, h, v := b.ask("GET", path, "")
	if status != 200 || len(h.Get("ETag")) < 4 {
		b.t.Fatalf("%s: %d, tag %s, %v", path, status, h.Get("ETag"), v)
	}
	return h.Get("ETag")
}

// TestNoUpdateIsLost: whoever has not seen how it is now changes nothing, and
// is told what to ask; whoever has does. That goes for all that is described.
func TestNoUpdateIsLost(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.syncing()
	b.m.share = func(string, *director.Director, *slog.Logger) partner { return &active{} }
	b.start()
	_, _, doc := b.ask("GET", "/openapi.json", "")
	left := map[string]bool{}
	for _, item := range doc["paths"].(map[string]any) {
		for method, x := range item.(map[string]any) {
			if id := x.(map[string]any)["operationId"].(string); method != "get" && id != "check-config" && id != "diff-config" {
				left[id] = true
			}
		}
	}
	for _, c := range changings(cf(5, "")) {
		delete(left, c.id)
		before := b.tags()
		// The shape of a tag is that of the right one: what is left out of a
		// comparison must not be what lets it fail.
		for _, stale := range []string{`"0123456789abcdef"`, `W/` + b.tag(c.of), `"0", "1"`} {
			status, _, v := b.ask(c.method, c.path, c.body, "If-Match", stale)
			detail, _ := v["detail"].(string)
			if status != 412 || v["type"] != "urn:weir:changed" || !strings.Contains(detail, "read it again, and decide anew") || !strings.Contains(detail, "; GET /v1/") {
				t.Errorf("%s with a stale %s: %d %v", c.id, stale, status, v)
			}
		}
		for _, broken := range []string{"", `"x`} {
			if status, _, v := b.ask(c.method, c.path, c.body, "If-Match", broken); status != 400 || !strings.Contains(fmt.Sprint(v["detail"]), "names no tag") {
				t.Errorf("%s with a broken %q: %d %v", c.id, broken, status, v)
			}
		}
		if now := b.tags(); now != before {
			t.Errorf("%s was refused, and has changed %s to %s", c.id, before, now)
		}
		if status, _, v := b.ask(c.method, c.path, c.body, "If-Match", `"other", `+b.tag(c.of)); status >= 300 {
			t.Errorf("%s with the right tag: %d %v", c.id, status, v)
		}
	}
	if len(left) > 0 {
		t.Errorf("not tried: %v", left)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestOneOfManyWins: of many who change what they have all seen at the same
// time, one does.
func TestOneOfManyWins(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	marked := func(mark int) lvs.ServiceKey { return lvs.ServiceKey{Mark: uint32(mark), Family: lvs.IPv4} }
	change := func(c *client.Client, changes ...lvs.Change) error {
		errs, err := c.Change(t.Context(), changes)
		return errors.Join(append(errs, err)...)
	}
	for _, c := range []struct {
		of   string
		does func(tag string, i int) error
	}{
		{"/v1/config", func(tag string, i int) error {
			_, err := b.c.If(tag).ApplyConfig(t.Context(), []byte(cf(10+i, "")))
			return err
		}},
		{"/v1/config", func(tag string, _ int) error {
			_, err := b.c.If(tag).Rollback(t.Context())
			return err
		}},
		{"/v1/table", func(tag string, i int) error {
			_, _, err := b.c.If(tag).ReplaceTable(t.Context(), client.Table{Services: []client.TableService{{
				ServiceSpec: client.ServiceSpec{Service: fmt.Sprintf("fwm:%d", i+1)}, Destinations: []client.DestinationSpec{}}}})
			return err
		}},
		{"/v1/table", func(tag string, i int) error {
			return change(b.c.If(tag), lvs.Change{Kind: lvs.AddService, Service: lvs.Service{Key: marked(100 + i), Scheduler: lvs.RR}},
				lvs.Change{Kind: lvs.AddService, Service: lvs.Service{Key: marked(200 + i), Scheduler: lvs.RR}})
		}},
		{"/v1/table", func(tag string, i int) error {
			return change(b.c, lvs.Change{Kind: lvs.AddService, Service: lvs.Service{Key: marked(300 + i), Scheduler: lvs.RR}, Match: lvs.MatchOf(tag)})
		}},
		{"/v1/timeouts", func(tag string, i int) error {
			return change(b.c, lvs.Change{Kind: lvs.SetTimeouts, Timeouts: lvs.Timeouts{TCP: time.Duration(1000+i) * time.Second}, Match: lvs.MatchOf(tag)})
		}},
	} {
		const many = 16
		tag := strings.Trim(b.tag(c.of), `"`)
		var won atomic.Int32
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				switch err := c.does(tag, i); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, lvs.ErrChanged):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%s: %d of %d changed the same thing", c.of, won.Load(), many)
		}
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestTheTagOfTheClient: it is the one If takes.
func TestTheTagOfTheClient(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	table, tag, err := b.c.WholeTable(t.Context())
	if err != nil || len(table.Services) != 1 {
		t.Fatalf("%+v, %v", table, err)
	}
	if _, again, err := b.c.If(tag).ReplaceTable(t.Context(), table); err != nil || again != tag {
		t.Errorf("%s, then %s, %v", tag, again, err)
	}
	now, err := b.c.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	applied, err := b.c.If(now.Tag).ApplyConfig(t.Context(), []byte(cf(2, "")))
	if err != nil || applied.Tag == now.Tag {
		t.Errorf("%+v, %v", applied, err)
	}
	if _, err := b.c.If(now.Tag).Reload(t.Context()); !errors.Is(err, lvs.ErrChanged) {
		t.Errorf("the tag of before: %v", err)
	}
	if _, err := b.c.If(applied.Tag).Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestAnEditedFileIsNotOverwritten: whoever says what he has seen has not seen
// what was written into the file and not reloaded.
func TestAnEditedFileIsNotOverwritten(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	now, err := b.c.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.write(cf(7, ""))
	_, err = b.c.If(now.Tag).ApplyConfig(t.Context(), []byte(cf(2, "")))
	if !errors.Is(err, lvs.ErrChanged) || !strings.Contains(err.Error(), "lb.cf was edited and not reloaded") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(b.file); err != nil || string(text) != cf(7, "") {
		t.Errorf("%s, %v", text, err)
	}
	reloaded, err := b.c.If(now.Tag).Reload(t.Context())
	if err != nil || b.weight() != 7 {
		t.Fatalf("weight %d, %v", b.weight(), err)
	}
	if _, err = b.c.If(reloaded.Tag).ApplyConfig(t.Context(), []byte(cf(2, ""))); err != nil || b.weight() != 2 {
		t.Errorf("weight %d, %v", b.weight(), err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// active is a part in one virtual router, whose addresses it holds until it is
// asked to hand them over.
type active struct{ given atomic.Bool }

func (a *active) set([]lvs.Router) {}

func (a *active) list() []lvs.RouterRole {
	state := lvs.RouterActive
	if a.given.Load() {
		state = lvs.RouterBackup
	}
	return []lvs.RouterRole{{Router: lvs.Router{Name: "outside"}, State: state}}
}

func (a *active) handOver(context.Context, string) error { a.given.Store(true); return nil }

func (a *active) run(ctx context.Context) error { <-ctx.Done(); return nil }
