package ldirectord_test

import (
	"errors"
	"flag"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/dialect/ldirectord"
	"github.com/weir-lb/weir/internal/lvs"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// names knows what an /etc/hosts and an /etc/services of Debian know.
var names = dialect.Names{
	Host: func(name string, family lvs.Family) (netip.Addr, error) {
		if name == "localhost" && family == lvs.IPv4 {
			return netip.MustParseAddr("127.0.0.1"), nil
		}
		return netip.Addr{}, errors.New("no such host")
	},
	Port: func(name, protocol string) (uint16, error) {
		p, ok := map[string]uint16{"http/tcp": 80, "https/tcp": 443, "https/udp": 443, "domain/tcp": 53, "domain/udp": 53}[name+"/"+protocol]
		if !ok {
			return 0, errors.New("no such port")
		}
		return p, nil
	},
}

// TestCases reads every file in testdata: what stands in in.cf has the
// problems in problems and, if none is an error, means out.yaml.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runCase(t, file) })
	}
}

func runCase(t *testing.T, file string) {
	a := readArchive(t, file)
	in := a.section("in.cf")
	c, problems := ldirectord.Read("in.cf", []byte(in), names)
	var told strings.Builder
	for _, p := range problems.Sorted() {
		told.WriteString(p.String() + "\n")
	}
	out := ""
	if problems.Err() == nil {
		out = string(config.Write(c))
		again(t, c, out)
	}
	if *update {
		a.sections = [][2]string{{"in.cf", in}, {"problems", told.String()}}
		if out != "" {
			a.sections = append(a.sections, [2]string{"out.yaml", out})
		}
		a.write(t, file)
		return
	}
	if d := cmp.Diff(a.section("problems"), told.String()); d != "" {
		t.Errorf("problems (-want +have):\n%s", d)
	}
	if d := cmp.Diff(a.section("out.yaml"), out); d != "" {
		t.Errorf("configuration (-want +have):\n%s", d)
	}
}

// again checks that what was converted means the same as weir.yaml.
func again(t *testing.T, c config.Config, out string) {
	t.Helper()
	c2, problems := config.Parse("out.yaml", []byte(out))
	if err := problems.Err(); err != nil {
		t.Errorf("the converted file is refused:\n%v", err)
	}
	if d := cmp.Diff(out, string(config.Write(c2))); d != "" {
		t.Errorf("the converted file means something else:\n%s", d)
	}
}

// FuzzRead: whatever is taken can be written as weir.yaml and means the same
// there.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/cases/*.txtar")
	for _, file := range files {
		f.Add([]byte(readArchive(f, file).section("in.cf")))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := ldirectord.Read("in.cf", text, names)
		if problems.Err() == nil {
			again(t, c, string(config.Write(c)))
		}
	})
}

func TestTooLarge(t *testing.T) {
	_, problems := ldirectord.Read("in.cf", make([]byte, config.MaxText+1), names)
	if err := problems.Err(); err == nil || err.Error() != "in.cf: the file is larger than 16 MiB" {
		t.Errorf("have %v", err)
	}
}
