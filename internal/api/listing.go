package api

import (
	"bufio"
	"io"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
)

// A listed is an answer that is a list and is sent piece by piece: as a whole,
// the table of 10,000 services would take a hundred megabytes for a moment.
type listed struct{ Body func(huma.Context) }

// lists describes such an answer, since its type does not.
func lists(a huma.API, example any) func(*huma.Operation) {
	return func(op *huma.Operation) {
		schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(example), true, "")
		op.Responses = map[string]*huma.Response{"200": {Description: http.StatusText(http.StatusOK),
			Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}}
	}
}

// A listing writes a JSON list of services, each into a line, which its reader
// counts on. Who has gone away is told nothing more.
type listing struct {
	to     *bufio.Writer
	line   []byte
	some   bool
	broken bool
}

func newListing(to io.Writer) listing {
	return listing{to: bufio.NewWriterSize(to, 1<<16)}
}

func (l *listing) add(s *client.Service) {
	if l.broken {
		return
	}
	before := byte('[')
	if l.some {
		before = ','
	}
	l.some = true
	line, err := client.AppendService(append(l.line[:0], before), s)
	l.line, l.broken = append(line, '\n'), err != nil
	_, _ = l.to.Write(l.line) // an error stays until the end
}

// end ends the list. One that is broken has no end, so that nobody takes it for
// whole.
func (l *listing) end() {
	switch {
	case l.broken:
		return
	case l.some:
		_ = l.to.WriteByte(']')
	default:
		_, _ = l.to.WriteString("[]")
	}
	_ = l.to.Flush() // who has gone away does not care
}
