package ldirectord_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect/ldirectord"
	"github.com/weir-lb/weir/internal/lvs"
)

// refused are the files the original takes and weir does not, each with the
// harm the original would have done.
var refused = map[string]string{
	"39-fwmark-zero":      "ipvsadm refuses mark 0, so that the service would silently be missing",
	"46-virtual-no-port":  "an address without port would be read as firewall mark 10",
	"88-netmask-nonsense": "ipvsadm refuses the netmask, so that the service would silently be missing",
}

// different are the files both take, where weir reads more than the original.
var different = map[string]string{
	"33-range-digit-rollover": "the original loses all servers of the range",
	"107-two-reals-same":      "one entry in the table, so one server",
}

// TestGolden holds the reader to what the original program did with each file:
// what it takes weir takes with the same meaning, and what it refuses weir
// never takes in silence.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) != 127 {
		t.Fatalf("%d golden cases: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			a := readArchive(t, file)
			c, problems := ldirectord.Read("in.cf", []byte(a.section("in.cf")), names)
			original, _, _ := strings.Cut(strings.TrimPrefix(a.comment, "ldirectord: "), " ERR ")
			if !strings.HasPrefix(original, "rc=0") {
				if len(problems) == 0 {
					t.Errorf("the original refuses this file, weir says nothing: %s", a.comment)
				}
				return
			}
			if refused[name] != "" {
				if problems.Err() == nil {
					t.Errorf("this file is to be refused: %s", refused[name])
				}
				return
			}
			if err := problems.Err(); err != nil {
				t.Errorf("the original takes this file: %s\n%v", original, err)
			}
			if want, have := originalMeaning(original), meaning(c); different[name] == "" && want != have {
				t.Errorf("want %s\nhave %s", want, have)
			} else if different[name] != "" && want == have {
				t.Errorf("expected to differ: %s", different[name])
			}
		})
	}
}

var (
	wasService = regexp.MustCompile(`(\S+):(\d+) proto=(\w+) svc=(\w+) ct=(\w+)/(\d+) to=(\d+)/(\d+) \S+ fb=(\S+) reals=\[(.*?rcv=[^\]]*|)\]`)
	wasReal    = regexp.MustCompile(`(\S+):(\d+) (gate|masq|ipip) w(\d+) ([a-z_]+)://(\S*?) rcv=(.*)`)
)

// originalMeaning brings the record of what the original understood into the
// form of meaning.
func originalMeaning(s string) string {
	var b strings.Builder
	for _, m := range wasService.FindAllStringSubmatch(s, -1) {
		addr := m[1] + ":" + m[2]
		if m[3] == "fwm" {
			addr = m[1]
		}
		fmt.Fprintf(&b, "\n%s %s", m[3], addr)
		for _, one := range strings.Split(m[10], "; ") {
			r := wasReal.FindStringSubmatch(strings.TrimSpace(one))
			if r == nil {
				continue
			}
			port := r[2]
			if m[3] != "fwm" && (port == "0" || r[3] != "masq") {
				port = m[2] // what ipvsadm makes of it
			}
			fmt.Fprintf(&b, "\n  %s:%s %s %s", r[1], port, r[3], r[4])
			if (m[4] == "http" || m[4] == "https") && (m[5] == "negotiate" || m[5] == "combined") {
				path := r[6][strings.IndexByte(r[6], '/'):]
				if !strings.HasPrefix(r[6], r[1]) {
					path = r[5] + "://" + r[6]
				}
				fmt.Fprintf(&b, " %s every %s timeout %s receive %s", path, m[6], m[8], r[7])
				if m[6] != "0" {
					fmt.Fprintf(&b, " connect %s", m[7])
				}
			}
		}
	}
	return b.String()
}

func meaning(c config.Config) string {
	var b strings.Builder
	for _, s := range c.Services {
		if s.Key.Mark != 0 {
			fmt.Fprintf(&b, "\nfwm %d", s.Key.Mark)
		} else {
			fmt.Fprintf(&b, "\n%s %s", strings.ToLower(s.Key.Protocol.String()), s.Key.Addr)
		}
		for _, r := range s.Reals {
			way, _ := r.Forward.MarshalText()
			fmt.Fprintf(&b, "\n  %s %s %d", r.Addr, way, r.Weight)
			if k := r.Check.Value(); k.Kind == lvs.CheckHTTP || k.Kind == lvs.CheckHTTPS {
				fmt.Fprintf(&b, " %s every %d timeout %d receive %s", k.Request, k.Every, k.Timeout/time.Second, k.Receive)
				if k.Every > 0 {
					fmt.Fprintf(&b, " connect %d", k.ConnectTimeout/time.Second)
				}
			}
		}
	}
	return b.String()
}
