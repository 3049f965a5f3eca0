package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestTheManualTellsEveryRole: the table in docs/api.md is what is served.
func TestTheManualTellsEveryRole(t *testing.T) {
	r, w := httptest.NewRequest(http.MethodGet, "/openapi.json", nil), httptest.NewRecorder()
	call := &guard.Call{Login: guard.LoginSocket, Role: lvs.RoleRead}
	Handler(options()).ServeHTTP(w, r.WithContext(guard.With(r.Context(), call)))
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for path, ops := range doc.Paths {
		for method, op := range ops {
			rows = append(rows, fmt.Sprintf("| %s | `%s %s` | %s |", op.OperationID, strings.ToUpper(method), path, op.Security[0]["token"][0]))
		}
	}
	order := func(row string) int {
		cells := strings.Split(row, " | ")
		return slices.Index(lvs.Roles(), strings.TrimSuffix(cells[len(cells)-1], " |"))
	}
	slices.SortFunc(rows, func(a, b string) int {
		if n := order(a) - order(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(rows, "\n") + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("docs/api.md has another table than\n%s", want)
	}
}
