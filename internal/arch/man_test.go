package arch

import (
	"go/ast"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestEveryCommandIsInTheManual finds the commands where they are written:
// the first word of Use in a cobra.Command.
func TestEveryCommandIsInTheManual(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/man/weir.8")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, f := range goFiles(t) {
		if f.test || f.room != "internal/cli" && f.room != "internal/demo" && f.room != "cmd/weir" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			use := useOf(n)
			if use == "" || use == "weir" {
				return true
			}
			commands++
			if !strings.Contains(string(page), "\n.It Cm "+use) {
				t.Errorf("%s: the command %q is not in docs/man/weir.8", f.name, use)
			}
			return true
		})
	}
	if commands < 10 {
		t.Errorf("only %d commands found", commands)
	}
}

// useOf is the command that a composite literal with a field Use makes.
func useOf(n ast.Node) string {
	kv, ok := n.(*ast.KeyValueExpr)
	if !ok {
		return ""
	}
	key, ok := kv.Key.(*ast.Ident)
	value, isText := kv.Value.(*ast.BasicLit)
	if !ok || key.Name != "Use" || !isText || value.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(value.Value)
	if err != nil {
		return ""
	}
	word, _, _ := strings.Cut(text, " ")
	return word
}
