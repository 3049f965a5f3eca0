package config_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-lb/weir/internal/config"
)

type object = map[string]any

// samples give each key of the schema a value other than its default, and the
// siblings it needs to count; those with "../" stand beside its mapping. A key without sample fails the test.
var samples = map[string]struct {
	value    any
	siblings object
}{
	"auto_reload": {true, nil}, "log_file": {"local0", nil},
	"audit_file": {"/var/log/audit", nil},
	"api.listen": {[]string{"[::1]:1"}, nil}, "api.certificate": {"/x", nil}, "api.key": {"/x", nil}, "api.tokens": {"/x", nil},
	"api.client_ca": {"/x", nil}, "api.rate": {7, nil}, "api.connections": {8, nil},
	"routers.name": {"b", nil}, "routers.interface": {"eth1", nil}, "routers.id": {8, nil}, "routers.version": {2, object{"interval": "1s"}},
	"routers.priority": {200, nil}, "routers.interval": {"1s", nil}, "routers.preempt": {false, nil}, "routers.preempt_delay": {"5s", nil},
	"routers.group": {"g", nil}, "routers.password": {"secret", object{"version": 2}}, "routers.source": {"10.0.0.2", nil},
	"routers.peers": {[]string{"10.0.0.3"}, nil}, "routers.addresses": {[]string{"10.0.0.9/24 dev eth1"}, nil}, "routers.also": {[]string{"2001:db8::9/64"}, nil},
	"routers.announce.repeat": {7, nil}, "routers.announce.delay": {"7s", nil}, "routers.announce.refresh": {"7s", nil},
	"api.clients.name": {"x", nil}, "api.clients.role": {"admin", nil},
	"proc_files.directory": {"/run/x", nil}, "proc_files.interval": {"7s", object{"directory": "/run/x"}},
	"proc_files.connections": {false, object{"directory": "/run/x"}},
	"engine.mode":            {"tc", nil}, "engine.interfaces": {[]string{"eth0"}, nil},
	"dataplane": {"ipvs", object{"marks": []object{}}}, "drift": {"correct", nil},
	"engine.connections": {2048, nil}, "engine.connections_ipv6": {2048, nil}, "engine.half_open": {2048, nil}, "engine.wide": {2048, nil},
	"engine.vs.am_droprate":               {2, nil},
	"engine.vs.amemthresh":                {2, nil},
	"engine.vs.cache_bypass":              {1, nil},
	"engine.vs.conn_reuse_mode":           {0, nil},
	"engine.vs.drop_entry":                {1, nil},
	"engine.vs.drop_packet":               {1, nil},
	"engine.vs.expire_nodest_conn":        {1, nil},
	"engine.vs.expire_quiescent_template": {1, nil},
	"engine.vs.lblc_expiration":           {2, nil},
	"engine.vs.lblcr_expiration":          {2, nil},
	"engine.vs.nat_icmp_send":             {1, nil},
	"engine.vs.schedule_icmp":             {1, nil},
	"engine.vs.secure_tcp":                {1, nil},
	"engine.vs.sloppy_sctp":               {1, nil},
	"engine.vs.sloppy_tcp":                {1, nil},
	"marks.mark":                          {7, nil}, "marks.protocol": {"udp", nil}, "marks.from": {"10.0.0.0/8", nil}, "marks.to": {"192.0.2.7", nil},
	"marks.ports": {[]string{"80", "1024-65535"}, nil}, "marks.source_ports": {[]string{"53"}, nil}, "marks.interface": {"eth0", nil},
	"engine.timeouts.tcp": {"1m", nil}, "engine.timeouts.tcp_fin": {"1m", nil}, "engine.timeouts.udp": {"1m", nil},

	"defaults.scheduler": {"rr", nil}, "defaults.forward": {"masq", nil}, "defaults.quiescent": {true, nil}, "defaults.clean_stop": {false, nil},
	"services.scheduler": {"rr", nil}, "services.forward": {"masq", nil}, "services.quiescent": {true, nil}, "services.clean_stop": {false, nil},
	"services.listen": {"udp 192.0.2.9:53", nil}, "services.flags": {[]string{"flag-1"}, nil}, "services.one_packet": {true, nil},
	"services.persistence.timeout": {"5m", nil}, "services.persistence.prefix": {24, object{"timeout": "5m"}},
	"services.persistence.netmask": {"255.255.0.0", object{"timeout": "5m"}}, "services.persistence.engine": {"sip", object{"timeout": "5m"}},
	"services.fallback.address": {"10.0.0.9", nil}, "services.fallback.forward": {"masq", object{"address": "10.0.0.9"}},

	"services.destinations.address": {"10.0.0.8", nil}, "services.destinations.weight": {7, nil}, "services.destinations.forward": {"masq", nil},
	"services.destinations.upper": {9, nil}, "services.destinations.lower": {3, object{"upper": 9}},

	"defaults.tunnel.port": {4754, object{"../forward": "gue"}}, "defaults.tunnel.checksum": {"csum", object{"../forward": "gue"}},
	"services.tunnel.port": {4754, object{"../forward": "gue"}}, "services.tunnel.checksum": {"csum", object{"../forward": "gre"}},
	"services.destinations.tunnel.port": {4754, object{"../forward": "gue"}}, "services.destinations.tunnel.checksum": {"remcsum", object{"../forward": "gue"}},
	"services.fallback.tunnel.port":     {4754, object{"../address": "10.0.0.9", "../forward": "gue"}},
	"services.fallback.tunnel.checksum": {"csum", object{"../address": "10.0.0.9", "../forward": "gre"}},

	"check.kind": {"ping", nil}, "check.port": {81, nil}, "check.request": {"/x", object{"kind": "http"}},
	"check.receive": {"x", object{"kind": "http"}}, "check.host": {"x", object{"kind": "http"}},
	"check.method": {"HEAD", object{"kind": "http"}}, "check.command": {"/bin/x", object{"kind": "external"}},
	"check.interval": {"1s", nil}, "check.timeout": {"1s", nil}, "check.attempts": {4, object{"kind": "ping"}},
	"check.fall": {4, nil}, "check.rise": {4, nil}, "check.every": {4, object{"kind": "http"}},
	"check.connect_timeout": {"1s", object{"kind": "http", "every": 4}},
}

// document is a small configuration with value at path.
func document(path []string, value any, siblings object) []byte {
	destination := object{"address": "10.0.0.1"}
	service := object{"listen": "udp 192.0.2.1:80", "destinations": []object{destination}}
	mark := object{"mark": 1}
	root := object{"services": []object{service}, "marks": []object{mark}}
	client := object{"name": "a", "role": "read"}
	if path[0] == "api" {
		root["api"] = object{"listen": []string{"127.0.0.1:1"}, "certificate": "/c", "key": "/k", "tokens": "/t", "client_ca": "/ca",
			"clients": []object{client}}
	}
	router := object{"name": "a", "interface": "eth0", "id": 7, "addresses": []string{"10.0.0.9/24"}}
	if path[0] == "routers" {
		root["routers"] = []object{router}
	}
	at, above := root, root
	for _, name := range path[:len(path)-1] {
		above = at
		switch {
		case name == "services":
			at = service
		case name == "destinations":
			at = destination
		case name == "routers":
			at = router
		case name == "marks":
			at = mark
		case name == "clients":
			at = client
		default:
			if at[name] == nil {
				at[name] = object{}
			}
			at = at[name].(object)
		}
	}
	for k, v := range siblings {
		if outer, ok := strings.CutPrefix(k, "../"); ok {
			above[outer] = v
		} else {
			at[k] = v
		}
	}
	if value != nil {
		at[path[len(path)-1]] = value
	}
	text, err := json.Marshal(root) // JSON is YAML
	if err != nil {
		panic(err)
	}
	return text
}

// leaves calls do for every key of the schema that holds a plain value.
func leaves(s object, path []string, do func(path []string, s object)) {
	if any, ok := s["anyOf"].([]any); ok { // the long form beside the short one
		s = any[1].(object)
	}
	if items, ok := s["items"].(object); ok && (items["properties"] != nil || items["anyOf"] != nil) {
		leaves(items, path, do)
		return
	}
	properties, ok := s["properties"].(object)
	if !ok {
		do(path, s)
		return
	}
	for name, p := range properties {
		leaves(p.(object), append(slices.Clone(path), name), do)
	}
}

func readSchema(t *testing.T) object {
	t.Helper()
	var s object
	if err := json.Unmarshal(config.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func parsed(t *testing.T, text []byte) config.Config {
	t.Helper()
	c, problems := config.Parse("f", text)
	if err := problems.Err(); err != nil {
		t.Errorf("%s\nis refused: %v", text, err)
	}
	return withoutPlaces(c)
}

// TestSchemaIsRead: every key of the schema is read and has an effect, its
// default is the one that counts without it, and its bounds are kept.
func TestSchemaIsRead(t *testing.T) {
	count := 0
	leaves(readSchema(t), nil, func(path []string, s object) {
		count++
		name := strings.Join(path, ".")
		short := name
		if i := strings.Index(name, "check."); i >= 0 {
			short = name[i:]
		}
		t.Run(name, func(t *testing.T) {
			sample, ok := samples[short]
			if !ok {
				t.Fatal("give this key a sample")
			}
			if s["description"] == nil || s["description"] == "" {
				t.Error("no description")
			}
			// An external check without its command is refused; so is a
			// mapping without the key it must have. Those are compared with
			// a document that lacks the mapping altogether.
			without := document(path, nil, sample.siblings)
			if sample.siblings["kind"] == "external" || name == "proc_files.directory" || strings.HasSuffix(name, "persistence.timeout") || strings.HasSuffix(name, "fallback.address") {
				without = document([]string{"auto_reload"}, nil, nil)
			}
			base := parsed(t, without)
			if cmp.Equal(base, parsed(t, document(path, sample.value, sample.siblings)), comparable...) {
				t.Errorf("%v has no effect", sample.value)
			}
			if def, ok := s["default"]; ok {
				if d := cmp.Diff(base, parsed(t, document(path, def, sample.siblings)), comparable...); d != "" {
					t.Errorf("%v is not the default:\n%s", def, d)
				}
			}
			for _, bad := range badValues(s) {
				if _, problems := config.Parse("f", document(path, bad, sample.siblings)); problems.Err() == nil {
					t.Errorf("%v is taken", bad)
				}
			}
		})
	})
	if count < 60 {
		t.Errorf("only %d keys", count)
	}
}

// badValues do not fit the schema s.
func badValues(s object) []any {
	bad := []any{object{"a": 1}}
	if low, ok := s["minimum"].(float64); ok {
		bad = append(bad, low-1, "x", 1.5)
	}
	if high, ok := s["maximum"].(float64); ok {
		bad = append(bad, high+1)
	}
	if s["enum"] != nil {
		bad = append(bad, "no such word", 3)
	}
	if s["pattern"] != nil {
		bad = append(bad, "5", 5, "5 s")
	}
	if s["type"] == "boolean" {
		bad = append(bad, "no", 0)
	}
	return bad
}

// TestManual: the manual page tells every key, and every word a key allows.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/man/weir.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	leaves(readSchema(t), nil, func(path []string, s object) {
		if !strings.Contains(page, ".It Cm "+path[len(path)-1]) {
			t.Errorf("%s is not in the manual", strings.Join(path, "."))
		}
		words, _ := s["enum"].([]any)
		for _, w := range words {
			if !strings.Contains(page, " "+w.(string)) {
				t.Errorf("%s: %v is not in the manual", path[len(path)-1], w)
			}
		}
	})
}
