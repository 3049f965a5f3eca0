package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestTheDescriptionTellsOfTags: whatever changes something says that it takes
// If-Match and whose tag that is, and that is given where it says.
func TestTheDescriptionTellsOfTags(t *testing.T) {
	r, w := httptest.NewRequest(http.MethodGet, "/openapi.json", nil), httptest.NewRecorder()
	call := &guard.Call{Login: guard.LoginSocket, Role: lvs.RoleRead}
	Handler(options()).ServeHTTP(w, r.WithContext(guard.With(r.Context(), call)))
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In, Description string }
			Responses   map[string]struct {
				Headers map[string]any
				Content map[string]any
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	changing := 0
	for path, ops := range doc.Paths {
		for method, op := range ops {
			said := ""
			for _, p := range op.Parameters {
				if p.Name == "If-Match" && p.In == "header" {
					said += p.Description
				}
			}
			if method == "get" || strings.HasSuffix(path, "/check") || strings.HasSuffix(path, "/diff") {
				if said != "" || op.Responses["412"].Content != nil {
					t.Errorf("%s changes nothing, and says %q", op.OperationID, said)
				}
				continue
			}
			changing++
			if op.Responses["412"].Content["application/problem+json"] == nil || !strings.HasPrefix(said, "refuse unless this is the ETag of GET /") {
				t.Errorf("%s says %q of If-Match, and %v", op.OperationID, said, op.Responses["412"])
			}
			for _, from := range strings.Split(strings.TrimPrefix(said, "refuse unless this is the ETag of GET "), " or ") {
				if doc.Paths[from]["get"].Responses["200"].Headers["ETag"] == nil {
					t.Errorf("%s: GET %s has no ETag", op.OperationID, from)
				}
			}
		}
	}
	if changing < 15 {
		t.Errorf("%d operations change something", changing)
	}
}
