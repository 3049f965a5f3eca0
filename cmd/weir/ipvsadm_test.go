package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-lb/weir/internal/cli"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// A block is one command of a transcript of the real ipvsadm: what was typed,
// what it printed, how it ended.
type block struct {
	line                   int
	command, stdin         string
	stdout, stderr, status string
}

// transcript reads the form of testdata/ipvsadm: "$ command", perhaps with
// what it read up to STDIN, then [stdout], [stderr] and [exit N].
func transcript(t *testing.T, file string) (out []block) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b *block
	var to *string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		bare := strings.TrimSuffix(line, "\n")
		switch {
		case to == nil && strings.HasPrefix(bare, "$ "):
			out = append(out, block{line: n, command: strings.TrimSpace(bare[2:])})
			b = &out[len(out)-1]
			if rest, ok := strings.CutSuffix(b.command, "<<STDIN"); ok {
				b.command, to = strings.TrimSpace(rest), &b.stdin
			}
		case to != nil && to == &b.stdin:
			// The recorder's end mark stands behind input without a last line end.
			if rest, ok := strings.CutSuffix(bare, "STDIN"); ok {
				*to += rest
				to = nil
				continue
			}
			*to += line
		case bare == "[stdout]":
			to = &b.stdout
		case bare == "[stderr]":
			to = &b.stderr
		case strings.HasPrefix(bare, "[exit "):
			b.status, to = strings.Trim(bare, "[exit ]"), nil
		case to != nil:
			*to += line
		}
	}
	return out
}

// cannotHold are the commands of the transcripts to which weir does not answer
// as the kernel, by how they begin, and why. What is wrong usage is compared all
// the same.
var cannotHold = []struct{ begin, why string }{
	{"ipvsadm -h", "the help is told in words of our own"},
	{"ipvsadm --help", "the help is told in words of our own"},
	{"cat /proc", "files of the kernel; weir proc has its own test"},
	{"cd /proc", "sysctls of the kernel"},
	{"dmesg", "the log of the kernel"},
	{"diff ", "compares files of the recorder; what is saved after a restore is compared here"},
	{"ipvsadm -Ln --nosort", "the kernel lists in the order of a hash table, weir in that of keys"},
}

func holds(b block) bool {
	if b.status == "2" || strings.HasPrefix(b.stderr, "Try") {
		return true
	}
	for _, c := range cannotHold {
		if strings.HasPrefix(b.command, c.begin) {
			return false
		}
	}
	return true
}

// shellWords splits a command as the recorder's shell did.
func shellWords(s string) (out []string) {
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		if rest, ok := strings.CutPrefix(s, "'"); ok {
			var word string
			word, s, _ = strings.Cut(rest, "'")
			out = append(out, word)
			continue
		}
		var word string
		word, s, _ = strings.Cut(s, " ")
		out = append(out, word)
	}
	return out
}

// names are the hosts and services of the machine the transcripts are from.
func names() cli.Env {
	hosts := map[string]string{"www.example.test": "192.0.2.80", "rs1.example.test": "10.0.1.1", "localhost": "127.0.0.1",
		"a-very-long-host-name-for-testing.example.test": "10.0.0.77"}
	ports := map[string]uint16{"ftp/tcp": 21, "domain/tcp": 53, "domain/udp": 53, "http/tcp": 80, "https/tcp": 443,
		"sip/udp": 5060, "http-alt/tcp": 8080, "m2pa/sctp": 3565}
	return cli.Env{
		Getenv: func(string) string { return "" },
		Names: dialect.Names{
			Host: func(name string, _ lvs.Family) (netip.Addr, error) {
				if a, ok := hosts[name]; ok {
					return netip.MustParseAddr(a), nil
				}
				return netip.Addr{}, errors.New("not found")
			},
			Port: func(name, protocol string) (uint16, error) {
				if p, ok := ports[name+"/"+protocol]; ok {
					return p, nil
				}
				return 0, errors.New("not found")
			}},
		HostName: func(a netip.Addr) string {
			for name, addr := range hosts {
				if addr == a.String() {
					return name
				}
			}
			return ""
		},
		PortName: func(port uint16, protocol string) string {
			for name, p := range ports {
				if host, of, _ := strings.Cut(name, "/"); p == port && of == protocol {
					return host
				}
			}
			return ""
		}}
}

// speak runs one command line against the daemon.
func (b *bench) speak(stdin string, words ...string) (stdout, stderr string, code int) {
	env := names()
	var out, err bytes.Buffer
	env.Stdin, env.Stdout, env.Stderr, env.Socket = strings.NewReader(stdin), &out, &err, b.m.Socket
	code = cli.Speak(context.Background(), env, words[0], words[1:])
	return out.String(), err.String(), code
}

// TestTranscripts replays what was typed at the real ipvsadm on the real
// kernel, and asks for the same answers, to the byte. The files of a run are
// one session.
func TestTranscripts(t *testing.T) {
	for _, run := range [][]string{
		{"01-basic", "02-services", "03-dests", "04-save-restore", "05-set-zero-daemon", "06-list-conflicts"},
		{"04b-restore-errors"},
		{"07-sort-order"},
		{"60-odd-words"},
	} {
		t.Run(run[0], func(t *testing.T) {
			b := newBench(t, "services: []\n")
			b.syncing()
			b.start()
			held, saved := 0, ""
			for _, file := range run {
				for _, x := range transcript(t, filepath.Join("testdata", "ipvsadm", file+".txt")) {
					if !holds(x) || file == "07-sort-order" && x.command == "ipvsadm -Ln" {
						// The original's order goes in circles: what comes out of it
						// depends on a hash table. The room of the dialect sorts what
						// was in there and compares.
						continue
					}
					held++
					if strings.HasSuffix(x.command, "< /tmp/save1") {
						x.command, x.stdin = "ipvsadm -R", saved
					}
					b.replay(t, file, x)
					if x.command == "ipvsadm -Sn" {
						saved = x.stdout
					}
				}
			}
			if held < 20 {
				t.Errorf("only %d commands were compared", held)
			}
			if err := b.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (b *bench) replay(t *testing.T, file string, x block) {
	t.Helper()
	command, target, _ := strings.Cut(x.command, " > ")
	stdout, stderr, code := b.speak(x.stdin, shellWords(command)...)
	if first, then, ok := strings.Cut(target, "; "); ok {
		// ipvsadm -Sn > FILE; ipvsadm -C; ipvsadm -R < FILE
		saved := stdout
		for command := range strings.SplitSeq(then, "; ") {
			command, _, _ = strings.Cut(command, " < "+first)
			stdout, stderr, code = b.speak(saved, shellWords(command)...)
		}
	}
	got := fmt.Sprintf("%s[stderr]\n%s[exit %d]\n", stdout, stderr, code)
	want := fmt.Sprintf("%s[stderr]\n%s[exit %s]\n", x.stdout, x.stderr, x.status)
	if got != want {
		t.Errorf("%s.txt:%d: %s\ngot:\n%swant:\n%s", file, x.line, x.command, got, want)
	}
}

// TestManyServices: ten thousand services are restored and saved as they were,
// and a thousand callers at once all take effect.
func TestManyServices(t *testing.T) {
	var rules strings.Builder
	for i := range 10_000 {
		vip := fmt.Sprintf("10.%d.%d.1:80", i/250, i%250)
		fmt.Fprintf(&rules, "-A -t %s -s wlc\n-a -t %s -r 10.200.0.1:8080 -m -w 3\n-a -t %s -r 10.200.0.2:8080 -m -w 3\n", vip, vip, vip)
	}
	b := newBench(t, "services: []\n")
	b.start()
	before := b.plane.Writes()
	if out, errs, code := b.speak(rules.String(), "ipvsadm-restore"); out+errs != "" || code != 0 {
		t.Fatalf("%d: %.200s%.200s", code, out, errs)
	}
	saved, _, _ := b.speak("", "ipvsadm-save", "-n")
	if saved != rules.String() {
		t.Error("what is saved differs from what was restored")
	}
	// What takes time is counted: no service is written again for another.
	if n := b.plane.Writes() - before; n > 2*10_000 {
		t.Errorf("%d writes for 10,000 services", n)
	}
	b.speak("", "ipvsadm", "-C")
	b.speak("", "ipvsadm", "-A", "-t", "192.0.2.1:80")
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			at := fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)
			if out, errs, code := b.speak("", "ipvsadm", "-a", "-t", "192.0.2.1:80", "-r", at); out+errs != "" || code != 0 {
				t.Errorf("%s: %d: %s%s", at, code, out, errs)
			}
		})
	}
	wg.Wait()
	if saved, _, _ = b.speak("", "ipvsadm", "-Sn"); strings.Count(saved, "-a ") != 1000 {
		t.Errorf("%d of 1000 destinations", strings.Count(saved, "-a "))
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
