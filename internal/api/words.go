package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

func init() { huma.ValidateStrictCasing = true } // "Service" is no "service", as the description has it

// formats are how bodies are written: JSON, which is UTF-8. What is not would
// be changed on the way, unnoticed, and configurations have all kinds of bytes
// in their comments.
func formats() map[string]huma.Format {
	strict := huma.DefaultJSONFormat
	strict.Unmarshal = func(data []byte, v any) error {
		if !utf8.Valid(data) {
			return errors.New("not UTF-8, which JSON is")
		}
		return json.Unmarshal(data, v)
	}
	return map[string]huma.Format{"application/json": strict, "json": strict}
}

// mostEcho is how much of what was wrong a refusal repeats.
const mostEcho = 200

// brief shortens what a refusal repeats of the request: that may be all of a
// large body.
func brief(_ huma.Context, _ string, answer any) (any, error) {
	p, ok := answer.(*huma.ErrorModel)
	if !ok {
		return answer, nil
	}
	for _, e := range p.Errors {
		switch v := e.Value.(type) {
		case nil, bool, float64, int, int64:
		case string:
			if len(v) > mostEcho {
				e.Value = v[:mostEcho] + "…"
			}
		default:
			e.Value = nil
		}
		if len(e.Message) > 2*mostEcho {
			e.Message = e.Message[:2*mostEcho] + "…"
		}
	}
	return answer, nil
}

// problems has what no operation is asked for refused in the words of RFC
// 9457, too.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said := silent{header: http.Header{}}
		if h, pattern := mux.Handler(r); pattern == "" {
			h.ServeHTTP(&said, r)
		}
		if said.status < 400 { // something is there, if not by that very path
			mux.ServeHTTP(w, r)
			return
		}
		m := huma.ErrorModel{Status: said.status, Title: http.StatusText(said.status), Detail: fmt.Sprintf("there is no %s %s; /openapi.json tells what there is", r.Method, r.URL.Path)}
		maps.Copy(w.Header(), http.Header{"Allow": said.header["Allow"], "Content-Type": {"application/problem+json"}})
		w.WriteHeader(said.status)
		_ = json.NewEncoder(w).Encode(m) // who has gone away does not care
	})
}

// A silent takes an answer's head and drops its body.
type silent struct {
	header http.Header
	status int
}

func (s *silent) Header() http.Header         { return s.header }
func (s *silent) WriteHeader(status int)      { s.status = status }
func (s *silent) Write(b []byte) (int, error) { return len(b), nil }
