// Package arch holds the tests of the house itself: which room may know which,
// what the pure rooms may not touch, how large a file may grow. It opens the
// files itself instead of asking the go command, whose answers the test cache
// would not notice to have changed. It contains nothing but tests.
package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/weir-lb/weir/"
	rooms  = module + "internal/"
)

// arrows says which rooms of ours each room may import. "*" at the end stands
// for everything below. A room that is not named here fails the test: whoever
// builds one draws its arrows first.
var arrows = map[string][]string{
	"internal/lvs":                     nil,
	"internal/config":                  {"lvs"},
	"internal/dialect":                 {"config", "lvs"},
	"internal/dialect/ldirectord":      {"dialect", "config", "lvs"},
	"internal/dialect/ipvsadm":         {"dialect", "config", "lvs"},
	"internal/estimate":                {"lvs"},
	"internal/metrics":                 {"lvs"},
	"internal/procfiles":               {"dialect/ipvsadm", "lvs"},
	"internal/dialect/all":             {"dialect", "dialect/*", "config", "lvs"},
	"internal/sched":                   {"lvs"},
	"internal/plan":                    {"config", "lvs"},
	"internal/vrrp":                    {"lvs"},
	"internal/announce":                {"lvs"},
	"internal/netif/advert":            nil,
	"internal/netif/hold":              {"lvs"},
	"internal/health":                  {"lvs"},
	"internal/netif":                   {"netif/*", "lvs"},
	"internal/netif/hook":              {"lvs"},
	"internal/dataplane":               {"lvs"},
	"internal/dataplane/ebpf":          {"dataplane", "sched", "netif/hook", "lvs"},
	"internal/dataplane/ipvs":          {"dataplane", "lvs"},
	"internal/director":                {"plan", "config", "dataplane", "lvs"},
	"internal/state":                   {"plan"},       // it keeps plan's notes
	"internal/netif/local":             {"realserver"}, // the facts of a host have their nouns there
	"internal/realserver":              nil,
	"internal/realserver/decap":        {"netif/hook", "realserver"},
	"internal/realserver/host":         {"netif/local", "realserver", "realserver/decap"},
	"internal/api":                     {"api/client", "api/guard", "api/audit", "config", "lvs"},
	"internal/api/audit":               {"lvs"},
	"internal/api/guard":               {"api/audit", "api/token", "config", "lvs"},
	"internal/api/token":               {"lvs"},
	"internal/api/client":              {"lvs"},
	"internal/cli":                     {"api/client", "api/token", "config", "dialect", "dialect/*", "plan", "demo", "realserver", "lvs"},
	"internal/demo":                    {"lab", "api/client", "lvs"},
	"internal/lab":                     {"lvs"},
	"internal/lab/labtest":             {"lab", "lvs"},
	"internal/dataplane/memory":        {"dataplane", "sched", "lvs"},
	"internal/dataplane/dataplanetest": {"dataplane", "lvs"},
	"internal/guest":                   nil,
	"internal/conformance":             {"dataplane/ebpf", "guest", "lab", "lvs"},
	"internal/peers":                   nil,
	"internal/journey":                 {"lab"},                                                               // it meets weir as a program
	"internal/bench":                   {"dataplane/ebpf", "api/client", "guest", "lab", "lvs", "netif/hook"}, // it measures weir, and ships in nothing
	"internal/arch":                    nil,
	"cmd/weir-bench":                   {"bench"},
	"cmd/weir":                         {"*"},
}

// workshop are the rooms only tests enter, and who else may.
var workshop = map[string][]string{
	"lab":                     {"internal/demo", "internal/lab/labtest", "internal/conformance", "internal/bench"},
	"lab/labtest":             nil,
	"dataplane/memory":        nil,
	"dataplane/dataplanetest": nil,
	"guest":                   {"internal/conformance", "internal/bench"},
	"conformance":             nil,
}

// foreign are packages that belong to one room.
var foreign = []struct {
	prefix  string
	allowed []string
}{
	{"github.com/cilium/ebpf", []string{"internal/dataplane/ebpf", "internal/realserver/decap", "internal/bench"}},
	{"github.com/vishvananda/", []string{"internal/netif", "internal/netif/hook", "internal/netif/local", "internal/netif/advert", "internal/netif/hold", "internal/lab"}},
	{"github.com/danielgtaylor/huma", []string{"internal/api"}},
	{"github.com/prometheus/", []string{"internal/metrics"}},
	{"github.com/spf13/cobra", []string{"internal/cli", "internal/demo", "cmd/weir", "cmd/weir-bench"}},
	{"github.com/coreos/go-systemd", []string{"cmd/weir"}},
	{"github.com/fsnotify/fsnotify", []string{"cmd/weir"}},
	{"github.com/go-json-experiment/json", []string{"internal/api/client"}},
	{"os/signal", []string{"cmd/weir", "cmd/weir-bench"}},
	{"testing", []string{"internal/lab/labtest", "internal/dataplane/dataplanetest"}},
}

// pure are the rooms that only calculate, and what they may not import.
var (
	pure      = []string{"internal/lvs", "internal/config", "internal/plan", "internal/sched", "internal/realserver"}
	forbidden = []string{"os", "net", "net/http", "context", "log", "log/slog", "math/rand", "math/rand/v2", "os/exec", "syscall", "golang.org/x/sys/unix", "sync", "testing"}
)

// A file is one Go file of the house.
type file struct {
	name string // from the root
	room string
	test bool
	text []byte
	ast  *ast.File
}

func goFiles(t *testing.T) (files []file) {
	t.Helper()
	set := token.NewFileSet()
	walk(t, func(name string, text []byte) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		a, err := parser.ParseFile(set, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), text, a})
	})
	if len(files) < 50 {
		t.Fatalf("only %d files found; is the root wrong?", len(files))
	}
	return files
}

func walk(t *testing.T, visit func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(p, root), "/"))
		if d.IsDir() {
			if name != "" && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		visit(name, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f file) imports() (out []string) {
	for _, i := range f.ast.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func generated(f file) bool { return ast.IsGenerated(f.ast) }

func fits(patterns []string, room string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, all := strings.CutSuffix(p, "*")
		return p == room || all && strings.HasPrefix(room, below)
	})
}

func TestArrows(t *testing.T) {
	for _, f := range goFiles(t) {
		may, known := arrows[f.room]
		if !known {
			t.Errorf("%s: the room %s has no arrows; draw them in internal/arch", f.name, f.room)
			continue
		}
		for _, p := range f.imports() {
			room, ours := strings.CutPrefix(p, rooms)
			if !ours || f.test && path.Join("internal", room) == f.room {
				continue
			}
			helper, isHelper := workshop[room]
			switch {
			case isHelper && (f.test || slices.Contains(helper, f.room)):
			case isHelper:
				t.Errorf("%s imports %s, which only tests enter", f.name, room)
			case f.test && (f.room == "cmd/weir" || !slices.Contains(pure, f.room)):
				// A test may look at its neighbours to check itself against them.
			case !fits(may, room):
				t.Errorf("%s: no arrow from %s to %s", f.name, f.room, room)
			}
		}
	}
}

func TestForeignPackagesBelongToOneRoom(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, p := range f.imports() {
			for _, o := range foreign {
				if (p == o.prefix || strings.HasPrefix(p, strings.TrimSuffix(o.prefix, "/")+"/")) && !slices.Contains(o.allowed, f.room) {
					t.Errorf("%s imports %s, which belongs to %v", f.name, p, o.allowed)
				}
			}
		}
	}
}

func TestPureRoomsTouchNothing(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || !slices.Contains(pure, f.room) {
			continue
		}
		for _, p := range f.imports() {
			if slices.Contains(forbidden, p) {
				t.Errorf("%s imports %s", f.name, p)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", f.name)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker", "Tick"}, n.Sel.Name) {
					t.Errorf("%s asks the clock: time.%s", f.name, n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestOnlyTheDoorEndsTheProcess(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.room == "cmd/weir" || f.room == "cmd/weir-bench" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && (s.Sel.Name == "Exit" || s.Sel.Name == "Args") {
					t.Errorf("%s uses os.%s", f.name, s.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	for _, f := range goFiles(t) {
		said[f.room] = said[f.room] || f.ast.Doc != nil && len(f.ast.Doc.Text()) > 80 && !generated(f)
	}
	for room, ok := range said {
		if !ok {
			t.Errorf("%s: no package comment, or one that says nothing", room)
		}
	}
}

// A file fits in the head. Generated ones and tables of data need not.
func TestFilesAreSmall(t *testing.T) {
	const most = 600
	walk(t, func(name string, text []byte) {
		switch path.Ext(name) {
		case ".go", ".c", ".h", ".md":
		default:
			return
		}
		if n := bytes.Count(text, []byte("\n")); n > most && !bytes.Contains(text[:min(len(text), 400)], []byte("DO NOT EDIT")) && !strings.Contains(name, "/vendor/") {
			t.Errorf("%s has %d lines; the most is %d", name, n, most)
		}
	})
}

func TestNothingIsLeftForLater(t *testing.T) {
	later := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	for _, f := range goFiles(t) {
		if m := later.Find(f.text); m != nil {
			t.Errorf("%s: %s", f.name, m)
		}
	}
}
