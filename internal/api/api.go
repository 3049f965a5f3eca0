// Package api is weir's HTTP interface: it shows finished snapshots and
// counters, and passes on the few things that can be asked for. Its OpenAPI
// description is served with it, refusals are RFC 9457 problems.
//
// It holds no state of its own and never reaches past what Options give it.
package api

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/sse"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Director is what the API needs of one.
type Director interface {
	Snapshot() *lvs.Snapshot
	Events(since time.Time) []lvs.Event
	NextEvent() <-chan struct{} // closed when the next event happens
	// Change makes changes by hand; there is an error or nil for each. All are
	// refused unless the whole table has a tag of table.
	Change(ctx context.Context, table lvs.Match, changes []lvs.Change) ([]error, error)
	// Preview is what a configuration would change, as ipvsadm lines.
	Preview(ctx context.Context, cfg config.Config) ([]string, error)
}

// An Observer reads what the data plane counts and remembers.
type Observer interface {
	Totals(ctx context.Context) (lvs.Totals, error)
	Reading(ctx context.Context) (lvs.Reading, error)
	Count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error)
	Use(ctx context.Context) (lvs.ConnectionUse, error)
	Connections(ctx context.Context, f lvs.ConnectionFilter) iter.Seq2[lvs.Connection, error]
}

// An Explainer runs made-up packets through the engine.
type Explainer interface {
	Explain(ctx context.Context, p lvs.Probe) (lvs.Explanation, error)
}

// Options are what the API shows and whom it asks.
type Options struct {
	Director  Director
	Observer  Observer
	Explainer Explainer // nil: this data plane cannot
	Sync      Syncer    // nil: this data plane cannot
	// Zero makes a service count from zero, or everything if k is nil.
	Zero func(ctx context.Context, k *lvs.ServiceKey) error
	// Metrics answers at /metrics. Nil: nobody does.
	Metrics http.Handler
	Version string
	PID     int
	Started time.Time
	// Reload reads the configuration again. Problems that are errors mean
	// that nothing was changed; so does lvs.ErrChanged, if the configuration
	// has no tag of m.
	Reload func(ctx context.Context, m lvs.Match) (file string, warnings config.Problems, err error)
	// Read reads the text of a configuration. An empty format means to find out.
	Read func(file string, text []byte, format string) (config.Config, config.Problems)
	// Config is the configuration in force, and its tag.
	Config func() (c config.Config, tag string)
	// Apply puts a text in the place of the configuration file, if it is good,
	// and reloads; Rollback does so with the text before the newest.
	Apply    func(ctx context.Context, m lvs.Match, text []byte) (file string, warnings config.Problems, err error)
	Rollback func(ctx context.Context, m lvs.Match) (file string, warnings config.Problems, err error)
	// History lists the configurations that were applied, oldest first.
	History func() ([]client.Version, error)
	// Refused is why the latest reload was refused; empty if it was not.
	Refused func() string
	// Routers are the virtual routers this director takes part in.
	Routers func() []lvs.RouterRole
	// HandOver makes one give its addresses to a peer.
	HandOver func(ctx context.Context, router string) error
	// Served is where the API is served over TCP, and what is wrong with that.
	// Nil: nowhere.
	Served func() (addresses, wrong []string)
	// Down makes weir take its table away and stop; it does not wait for it.
	Down func() (kept []lvs.ServiceKey)
}

type handlers struct {
	o         Options
	api       huma.API
	followers seats // streams of events
	bodies    seats // large bodies that come over TCP
	syncing   *sync.Mutex
}

// A body is an answer in the form huma wants it.
type body[T any] struct{ Body T }

// Handler is the whole interface.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	c := huma.DefaultConfig("weir", o.Version)
	c.Info.Description = "The director of a Linux virtual server."
	c.DocsPath = ""     // its page would load scripts from elsewhere
	c.CreateHooks = nil // answers carry no $schema field
	c.Components.SecuritySchemes = schemes
	c.Transformers = append(c.Transformers, advise, brief)
	c.Formats = formats()
	a := humago.New(mux, c)
	if o.Sync == nil {
		o.Sync = noSyncer{}
	}
	h := handlers{o, a, newSeats(mostFollowers), newSeats(mostLarge), new(sync.Mutex)}
	a.UseMiddleware(h.allowed, h.conditional)
	huma.Get(a, "/v1/status", h.status, says("status", lvs.RoleRead, "How weir is"))
	h.table(a)
	h.sync(a)
	h.routers(a)
	huma.Get(a, "/v1/connections", h.connections, says("connections", lvs.RoleRead, "Connections that match"))
	huma.Get(a, "/v1/totals", h.totals, says("totals", lvs.RoleRead, "Every counter"))
	huma.Get(a, "/v1/explain", h.explain, says("explain", lvs.RoleRead, "What would happen to a packet, and why"))
	huma.Get(a, "/v1/events", h.events, says("events", lvs.RoleRead, "What has happened, oldest first"))
	stream := huma.Operation{Method: http.MethodGet, Path: "/v1/events/stream", Middlewares: huma.Middlewares{h.seated}}
	says("follow", lvs.RoleRead, "What happens from now on, as server-sent events")(&stream)
	sse.Register(a, stream, map[string]any{"event": lvs.Event{}}, h.follow)
	huma.Get(a, "/v1/config", h.config, says("config", lvs.RoleAdmin, "The configuration in force, as weir.yaml"))
	huma.Put(a, "/v1/config", h.applyConfig, says("apply-config", lvs.RoleAdmin, "Replace the configuration file and apply it, or change nothing"), large, minds(configTag))
	huma.Get(a, "/v1/config/history", h.history, says("history", lvs.RoleRead, "The configurations that were applied, oldest first"))
	huma.Post(a, "/v1/config/rollback", h.rollback, says("rollback", lvs.RoleAdmin, "Go back to the configuration before"), minds(configTag))
	huma.Post(a, "/v1/config/check", h.checkConfig, says("check-config", lvs.RoleOperate, "What is wrong with a configuration"), large, asks)
	huma.Post(a, "/v1/config/diff", h.diffConfig, says("diff-config", lvs.RoleOperate, "What a configuration would change"), large, asks)
	huma.Post(a, "/v1/reload", h.reload, says("reload", lvs.RoleAdmin, "Read the configuration again"), minds(configTag))
	huma.Post(a, "/v1/down", h.down, says("down", lvs.RoleAdmin, "Take the table away and stop"), minds(tableTag))
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	tellRefusals(a)
	return looking(problems(mux))
}

func (h handlers) status(ctx context.Context, _ *struct{}) (*body[client.Status], error) {
	use, err := h.o.Observer.Use(ctx)
	if err != nil {
		return nil, unreadable(err)
	}
	return &body[client.Status]{h.toStatus(h.o.Director.Snapshot(), use)}, nil
}

type serviceQuery struct {
	Service  string `query:"service" doc:"only this one"`
	Counters bool   `query:"counters" default:"true" doc:"false: without counters, which is quicker"`
}

func (h handlers) services(ctx context.Context, q *serviceQuery) (*listed, error) {
	if q.Service != "" {
		return h.matching(ctx, q)
	}
	var counted lvs.Reading = lvs.Totals{} // nothing
	if q.Counters {
		var err error
		if counted, err = h.o.Observer.Reading(ctx); err != nil {
			return nil, unreadable(err)
		}
	}
	snap := h.o.Director.Snapshot()
	return &listed{func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		l := newListing(c.BodyWriter())
		var shown client.Service
		for s := range snap.Installed.Values() {
			counters, _ := counted.Of(s.Key)
			shown = toService(snap, s, counters, shown.Destinations) // in the same memory
			l.add(&shown)
		}
		l.end()
	}}, nil
}

// matching is a list of one service, or of none.
func (h handlers) matching(ctx context.Context, q *serviceQuery) (*listed, error) {
	k, err := Named{Service: q.Service}.key()
	if err != nil {
		return nil, err
	}
	var counted lvs.ServiceCounters
	if q.Counters {
		if counted, err = h.count(ctx, k); err != nil {
			return nil, err
		}
	}
	snap := h.o.Director.Snapshot()
	return &listed{func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		l := newListing(c.BodyWriter())
		if s, ok := snap.Installed.Get(k); ok {
			shown := toService(snap, s, counted, nil)
			l.add(&shown)
		}
		l.end()
	}}, nil
}

func (h handlers) totals(ctx context.Context, _ *struct{}) (*body[client.Totals], error) {
	totals, err := h.o.Observer.Totals(ctx)
	if err != nil {
		return nil, unreadable(err)
	}
	return &body[client.Totals]{toTotals(totals)}, nil
}

func (h handlers) explain(ctx context.Context, q *client.ExplainQuery) (*body[lvs.Explanation], error) {
	if h.o.Explainer == nil {
		return nil, huma.Error501NotImplemented("this data plane does not explain packets")
	}
	probe, err := q.Probe()
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	e, err := h.o.Explainer.Explain(ctx, probe)
	if errors.Is(err, lvs.ErrUnsupported) {
		return nil, huma.Error501NotImplemented(err.Error())
	}
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	return &body[lvs.Explanation]{e}, nil
}

func (h handlers) connections(ctx context.Context, q *client.ConnectionQuery) (*body[client.Connections], error) {
	f, err := q.Filter()
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	out := client.Connections{Connections: []client.Connection{}}
	skip := q.Cursor
	for c, err := range h.o.Observer.Connections(ctx, f) {
		if err != nil {
			return nil, huma.Error500InternalServerError("read the connections: " + err.Error())
		}
		if len(out.Connections) == q.Limit {
			out.More, out.Next = true, q.Cursor+q.Limit
			break
		}
		if skip > 0 {
			skip--
			continue
		}
		out.Connections = append(out.Connections, toConnection(c))
	}
	return &body[client.Connections]{out}, nil
}

type eventQuery struct {
	Since time.Time `query:"since" doc:"only what happened after this moment"`
	Wait  int       `query:"wait" minimum:"0" maximum:"300" doc:"seconds to wait for the first event if there is none yet"`
}

func (h handlers) events(ctx context.Context, q *eventQuery) (*body[[]lvs.Event], error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(q.Wait)*time.Second)
	defer cancel()
	for {
		next := h.o.Director.NextEvent()
		if es := h.o.Director.Events(q.Since); len(es) > 0 {
			return &body[[]lvs.Event]{es}, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return &body[[]lvs.Event]{[]lvs.Event{}}, nil
		}
	}
}

// follow sends events as they happen, those since a moment first.
func (h handlers) follow(ctx context.Context, q *struct {
	Since time.Time `query:"since" doc:"what happened after this moment comes first; none: only what is new"`
}, send sse.Sender) {
	since := q.Since
	if since.IsZero() {
		since = time.Now()
	}
	for {
		next := h.o.Director.NextEvent()
		for _, e := range h.o.Director.Events(since) {
			if send.Data(e) != nil {
				return // nobody listens any more
			}
			since = e.At
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

func (h handlers) reload(ctx context.Context, _ *struct{}) (*tagged[client.Reloaded], error) {
	return h.reloaded(ctx, "read the configuration again", h.o.Reload)
}

// reloaded is the answer to a configuration that was applied, or was not.
func (h handlers) reloaded(ctx context.Context, what string, do func(context.Context, lvs.Match) (string, config.Problems, error)) (*tagged[client.Reloaded], error) {
	file, problems, err := do(ctx, match(ctx))
	guard.Of(ctx).Note(what, err)
	if errors.Is(err, lvs.ErrChanged) {
		return nil, problem(err)
	}
	if err != nil {
		return nil, refusal("the configuration was not changed", err)
	}
	out := client.Reloaded{File: file, Warnings: []string{}}
	for _, p := range problems {
		out.Warnings = append(out.Warnings, p.String())
	}
	_, out.Tag = h.o.Config()
	return withTag(out.Tag, out), nil
}

// refusal turns err into a problem; those of a configuration one by one.
func refusal(text string, err error) error {
	var ps config.Problems
	if !errors.As(err, &ps) {
		return huma.Error409Conflict(text + ": " + err.Error())
	}
	var all []error
	for _, p := range ps.Errors() {
		all = append(all, errors.New(p.String()))
	}
	return huma.Error422UnprocessableEntity(text, all...)
}

func (h handlers) down(ctx context.Context, _ *struct{}) (*body[client.Downed], error) {
	err := h.asSeen(ctx, nil)
	guard.Of(ctx).Note("take the table away and stop", err)
	if err != nil {
		return nil, problem(err)
	}
	out := client.Downed{Kept: []string{}}
	for _, k := range h.o.Down() {
		out.Kept = append(out.Kept, k.String())
	}
	return &body[client.Downed]{out}, nil
}
