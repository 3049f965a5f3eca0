package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/lvs"
)

// What a change is about can be read there, with the tag it has: If-Match of
// the change is compared with that.
const (
	tagFrom    = "tag" // the name under which an operation keeps it
	serviceTag = "/v1/services/{service}"
	tableTag   = "/v1/table"
	timeoutTag = "/v1/timeouts"
	configTag  = "/v1/config"
	syncTag    = "/v1/sync-daemons"
	routersTag = "/v1/routers"
)

// minds says whose tags an operation compares.
func minds(paths ...string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.Metadata[tagFrom] = paths
		op.Parameters = append(op.Parameters, &huma.Param{Name: "If-Match", In: "header",
			Description: "refuse unless this is the ETag of " + reading(paths), Schema: &huma.Schema{Type: huma.TypeString}})
	}
}

// reading tells how to ask for what has the tag.
func reading(paths []string) string { return "GET " + strings.Join(paths, " or ") }

type matchKey struct{}

// conditional reads If-Match before an operation begins. A header that says
// nothing is not taken for none: a script may have lost the tag.
func (h handlers) conditional(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	lines := r.Header.Values("If-Match")
	if ctx.Operation().Metadata[tagFrom] == nil || len(lines) == 0 {
		next(ctx)
		return
	}
	m, err := lvs.ParseMatch(strings.Join(lines, ", "))
	if err != nil {
		_ = huma.WriteErr(h.api, ctx, http.StatusBadRequest, "If-Match: "+err.Error()) // who has gone away does not care
		return
	}
	next(huma.WithValue(ctx, matchKey{}, m))
}

// match are the tags the request of ctx is content with.
func match(ctx context.Context) lvs.Match {
	m, _ := ctx.Value(matchKey{}).(lvs.Match)
	return m
}

// advise ends the answer to a tag that is no longer true in what to ask next.
func advise(ctx huma.Context, _ string, answer any) (any, error) {
	from, ok := ctx.Operation().Metadata[tagFrom].([]string)
	p, refused := answer.(*huma.ErrorModel)
	if ok && refused && p.Status == http.StatusPreconditionFailed {
		p.Detail += fmt.Sprintf("; %s tells how it is, and its ETag", reading(from))
	}
	return answer, nil
}

// asSeen refuses unless the service, or else the whole table, is as the caller
// has seen it. It is for what the director is not asked about.
func (h handlers) asSeen(ctx context.Context, k *lvs.ServiceKey) error {
	m, snap := match(ctx), h.o.Director.Snapshot()
	switch {
	case m == nil:
		return nil
	case k != nil:
		if s, there := snap.Installed.Get(*k); !m.Fits(s.Tag(), there) {
			return refusedKey(*k, lvs.ErrChanged)
		}
	case !m.Fits(tagOf(snap), true):
		return fmt.Errorf("the table: %w", lvs.ErrChanged)
	}
	return nil
}

// tellStale describes the answer to a tag that is no longer true.
func tellStale(op *huma.Operation, answer *huma.Response) {
	if op.Metadata[tagFrom] != nil {
		answer.Description = "it has been changed since it had this ETag; " + client.ProblemType + "changed"
		op.Responses["412"] = answer
	}
}
