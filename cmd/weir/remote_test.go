package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/cli"
)

// A far is a daemon whose API is served over TLS on loopback, with a token of
// each role made by weir token.
type far struct {
	*bench
	dir, url string
	tokens   map[string]string // files, by role
}

func newFar(t *testing.T, more string) *far {
	b := newBench(t, "services: []\n")
	f := &far{bench: b, dir: filepath.Dir(b.file), tokens: map[string]string{}}
	selfSigned(t, f.path("api.crt"), f.path("api.key"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	f.url = "https://" + at
	for _, role := range []string{"read", "operate", "admin"} {
		out, errs, code := b.weir("token", "add", "t-"+role, "--role", role, "--file", f.path("tokens"))
		if code != 0 || !strings.HasPrefix(out, "weir_") {
			t.Fatalf("%d %s", code, errs)
		}
		f.tokens[role] = f.path(role + ".token")
		if err := os.WriteFile(f.tokens[role], []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.write(fmt.Sprintf(`audit_file: %s
api:
  listen: [%s]
  certificate: %s
  key: %s
  tokens: %s
  rate: 100000
proc_files: %s
services:
  - {listen: tcp 192.0.2.1:80, scheduler: rr, forward: masq, check: on, destinations: [10.0.0.1]}
%s`, f.path("audit.log"), at, f.path("api.crt"), f.path("api.key"), f.path("tokens"), f.path("proc"), more))
	b.start()
	return f
}

func (f *far) path(name string) string { return filepath.Join(f.dir, name) }

// remote types a command that asks over the network, as a role.
func (f *far) remote(role string, args ...string) (out, errs string, code int) {
	return f.weir(append([]string{"--server", f.url, "--ca", f.path("api.crt"), "--token-file", f.tokens[role]}, args...)...)
}

func (f *far) audited() (out []audit.Record) {
	text, err := os.ReadFile(f.path("audit.log"))
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r audit.Record
		if err := json.Unmarshal(line, &r); err != nil {
			f.t.Errorf("%s: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

func selfSigned(t *testing.T, crt, key string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "weir"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, x, x, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{crt: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCommandsOverTheNetwork: every command can ask a weir elsewhere, as far
// as its role goes, and it is written down who did what.
func TestCommandsOverTheNetwork(t *testing.T) {
	f := newFar(t, "")
	const server = "tcp:192.0.2.1:80 10.0.0.1"
	for _, tt := range []struct {
		role, args string
		code       int
		says       string
	}{
		{"read", "status", 0, f.url},
		{"read", "services", 0, "10.0.0.1:80"},
		{"read", "metrics", 0, "weir_destination_weight"},
		{"read", "proc ip_vs", 0, "C0000201:0050 rr"},
		{"read", "ipvsadm -Ln", 0, "192.0.2.1:80 rr"},
		{"read", "quiesce " + server, 1, "needs the role operate; the token t-read has the role read"},
		{"operate", "quiesce " + server, 0, "quiesced"},
		{"operate", "enable " + server, 0, "enabled"},
		{"operate", "ipvsadm -A -t 192.0.2.7:80", 255, "needs the role admin"},
		{"operate", "reload", 1, "needs the role admin"},
		{"admin", "ipvsadm -A -t 192.0.2.7:80", 0, ""},
		{"admin", "reload", 0, "applied"},
		{"admin", "--socket x status", 2, "say one of them"},
	} {
		out, errs, code := f.remote(tt.role, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.says) {
			t.Errorf("%s: weir %s: %d\n%s%s", tt.role, tt.args, code, out, errs)
		}
	}
	if _, errs, code := f.weir("ipvsadm", "-Z"); code != 0 {
		t.Errorf("on the socket: %s", errs)
	}
	var lines []string
	for _, r := range f.audited() {
		lines = append(lines, strings.Join([]string{r.Login, r.Who, r.Outcome, r.What}, "|"))
	}
	want := `token|t-read|refused|
token|t-operate|done|order -t 192.0.2.1:80 -r 10.0.0.1:80 -w 0
token|t-operate|done|revoke -t 192.0.2.1:80 -r 10.0.0.1:80
token|t-operate|refused|-A -t 192.0.2.7:80 -s wlc
token|t-operate|refused|
token|t-admin|done|-A -t 192.0.2.7:80 -s wlc
token|t-admin|done|read the configuration again
socket|uid ` + fmt.Sprint(os.Getuid()) + `|done|count from zero: all`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("written down:\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(f.path("audit.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	f.eventually("a proc file", func() bool { _, err := os.Stat(f.path("proc/ip_vs")); return err == nil })
	// An unreachable weir elsewhere is no reason to do anything here.
	if _, errs, code := f.weir("down", "--server", "https://127.0.0.1:1"); code != 1 || !strings.Contains(errs, "no weir answers there") || f.removed != 0 {
		t.Errorf("down elsewhere: %d %s, removed %d", code, errs, f.removed)
	}
	if _, errs, code := f.weir("status", "--server", f.url, "--token-file", f.tokens["read"]); code != 1 || !strings.Contains(errs, "--ca") {
		t.Errorf("an unknown issuer: %d %s", code, errs)
	}
	if out, _, code := f.remote("admin", "down"); code != 0 || !strings.Contains(out, "weir is down") {
		t.Errorf("down: %d %s", code, out)
	}
	if err := <-f.done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(f.path("proc")); err == nil {
		t.Error("the proc files are left")
	}
}

// TestTheEnvironmentNamesTheWeirElsewhere, for ipvsadm too; whoever names a
// socket means it.
func TestTheEnvironmentNamesTheWeirElsewhere(t *testing.T) {
	f := newFar(t, "")
	vars := map[string]string{"WEIR_SERVER": f.url, "WEIR_CA": f.path("api.crt"), "WEIR_TOKEN_FILE": f.tokens["admin"]}
	run := func(speak bool, args ...string) (string, int) {
		var out bytes.Buffer
		env := names()
		env.Stdin, env.Stdout, env.Stderr, env.Socket = strings.NewReader(""), &out, &out, f.path("nobody")
		env.Getenv = func(name string) string { return vars[name] }
		if speak {
			return out.String(), cli.Speak(context.Background(), env, args[0], args[1:])
		}
		code := cli.Main(context.Background(), env, args)
		return out.String(), code
	}
	if _, code := run(true, "ipvsadm", "-A", "-t", "192.0.2.8:80"); code != 0 {
		t.Errorf("ipvsadm: %d", code)
	}
	if out, code := run(false, "services"); code != 0 || !strings.Contains(out, "192.0.2.8:80") {
		t.Errorf("services: %d %s", code, out)
	}
	if out, code := run(false, "services", "--socket", f.path("nobody")); code != 1 || !strings.Contains(out, "not running") {
		t.Errorf("on a socket: %d %s", code, out)
	}
	if out, code := run(false, "ipvsadm", "--socket", f.path("nobody"), "-Ln"); code != 2 || !strings.Contains(out, "not running") {
		t.Errorf("ipvsadm on a socket: %d %s", code, out)
	}
	if err := f.end(); err != nil {
		t.Error(err)
	}
}

// TestHangupReadsKeysAndOpensTheAuditFileAnew, also if the configuration has
// become a broken one.
func TestHangupReadsKeysAndOpensTheAuditFileAnew(t *testing.T) {
	f := newFar(t, "")
	if _, errs, code := f.weir("token", "remove", "t-admin", "--file", f.path("tokens")); code != 0 {
		t.Fatal(errs)
	}
	if _, errs, code := f.remote("admin", "ipvsadm", "-C"); code != 0 {
		t.Errorf("before the hangup: %d %s", code, errs)
	}
	if err := os.Rename(f.path("audit.log"), f.path("audit.log.1")); err != nil {
		t.Fatal(err)
	}
	f.write("services: nonsense\n")
	f.hangup <- os.Interrupt
	f.eventually("refused", func() bool { return strings.Contains(f.log.String(), "not reloaded") })
	f.eventually("out", func() bool { _, _, code := f.remote("admin", "ipvsadm", "-C"); return code != 0 })
	if _, errs, code := f.remote("read", "status"); code != 0 {
		t.Errorf("another token: %d %s", code, errs)
	}
	f.eventually("written down", func() bool {
		_, err := os.Stat(f.path("audit.log"))
		return err == nil && len(f.audited()) > 0
	})
	if last := f.audited()[len(f.audited())-1]; last.Status != 401 || last.Login != "none" || last.Why == "" {
		t.Errorf("%+v", last)
	}
	if err := f.end(); err != nil {
		t.Error(err)
	}
}

// TestWhoTakesTheApiAway is still told that it is done.
func TestWhoTakesTheApiAway(t *testing.T) {
	f := newFar(t, "")
	text, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	begin, rest, _ := strings.Cut(string(text), "api:\n")
	without := f.path("without.yaml")
	if err := os.WriteFile(without, []byte(begin+rest[strings.Index(rest, "proc_files"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := f.remote("admin", "apply", "-c", without); code != 0 || !strings.Contains(out, "applied") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	f.eventually("closed", func() bool { s, err := f.c.Status(t.Context()); return err == nil && len(s.Served) == 0 })
	last := audit.Record{}
	f.eventually("written down", func() bool {
		all := f.audited()
		last = all[len(all)-1]
		return strings.HasPrefix(last.What, "apply a configuration of ")
	})
	if last.Outcome != "done" || last.Who != "t-admin" {
		t.Errorf("%+v", last)
	}
	if _, errs, code := f.remote("admin", "status"); code != 1 || !strings.Contains(errs, "no weir answers there") {
		t.Errorf("%d %s", code, errs)
	}
	if err := f.end(); err != nil {
		t.Error(err)
	}
}
