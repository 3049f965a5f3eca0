package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

// The names under which an operation keeps what it needs.
const (
	needsRole = "role"
	onlyAsks  = "asks"
)

// schemes are the ways to log in over TCP; the unix socket needs none.
var schemes = map[string]*huma.SecurityScheme{
	"token":       {Type: "http", Scheme: "bearer", Description: "a token of weir token add"},
	"certificate": {Type: "mutualTLS", Description: "a client certificate named in the api section of weir.yaml"},
}

// says names an operation and the role it needs.
func says(id string, need lvs.Role, summary string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.OperationID, op.Summary = id, summary
		op.Description = "Needs the role " + need.String() + "."
		op.Security = []map[string][]string{{"token": {need.String()}}, {"certificate": {need.String()}}}
		if op.Metadata == nil {
			op.Metadata = map[string]any{}
		}
		op.Metadata[needsRole] = need
	}
}

// asks marks an operation that changes nothing although it is no GET.
func asks(op *huma.Operation) { op.Metadata[onlyAsks] = true }

// allowed lets an operation begin if its caller may. One that does not say
// what it needs is for administrators.
func (h handlers) allowed(ctx huma.Context, next func(huma.Context)) {
	op, call := ctx.Operation(), guard.Of(ctx.Context())
	need, ok := op.Metadata[needsRole].(lvs.Role)
	if !ok {
		need = lvs.RoleAdmin
	}
	call.Operation = op.OperationID
	r, w := humago.Unwrap(ctx)
	if !guard.Allow(w, r, need) {
		return
	}
	call.Changes = op.Method != http.MethodGet && op.Metadata[onlyAsks] == nil
	if op.MaxBodyBytes == mostBytes && call.Login != guard.LoginSocket {
		select {
		case h.bodies <- struct{}{}:
			defer h.bodies.leave()
		case <-ctx.Context().Done():
			return
		}
	}
	next(ctx)
}

// looking lets everything begin only for those who may look, what is no
// operation too.
func looking(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if guard.Allow(w, r, lvs.RoleRead) {
			next.ServeHTTP(w, r)
		}
	})
}

// How many streams of events there may be, and how many large bodies are read
// from TCP at the same time; they are in memory whole.
const (
	mostFollowers = 64
	mostLarge     = 4
)

// seats bound how many do something at the same time.
type seats chan struct{}

func newSeats(n int) seats { return make(seats, n) }

func (s seats) leave() { <-s }

// seated lets a stream of events begin if there is room for one more.
func (h handlers) seated(ctx huma.Context, next func(huma.Context)) {
	select {
	case h.followers <- struct{}{}:
		defer h.followers.leave()
		next(ctx)
	default:
		r, w := humago.Unwrap(ctx)
		guard.Full(w, r, "as many follow the events as can at the same time")
	}
}

func forbidden(err error) error {
	return &huma.ErrorModel{Type: client.ProblemType + guard.Forbidden, Status: http.StatusForbidden,
		Title: http.StatusText(http.StatusForbidden), Detail: err.Error()}
}

// tellRefusals describes the answers that every operation can give before it
// begins.
func tellRefusals(a huma.API) {
	doc := a.OpenAPI()
	model := doc.Components.Schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "")
	text := &huma.Schema{Type: huma.TypeString}
	answer := func(description, header, meaning string) *huma.Response {
		r := &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: model}}}
		if header != "" {
			r.Headers = map[string]*huma.Param{header: {Description: meaning, Schema: text}}
		}
		return r
	}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Delete} {
			if op == nil {
				continue
			}
			op.Responses["401"] = answer("nobody is logged in", "WWW-Authenticate", "how to log in")
			op.Responses["403"] = answer("the caller's role is not enough", "", "")
			op.Responses["429"] = answer("more than allowed", "Retry-After", "seconds to wait")
			tellStale(op, answer("", "", ""))
		}
	}
}
