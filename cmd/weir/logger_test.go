package main

import (
	"errors"
	"log/syslog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestTheLogGoesToTheSystemLog(t *testing.T) {
	b := newBench(t, cf(1, `logfile="local0"`))
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.m.syslog = func(p syslog.Priority) (*syslog.Writer, error) { return syslog.Dial("unixgram", path, p, "weir") }
	b.start()
	b.write(cf(1, "frob=1"))
	b.hangup <- os.Interrupt
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for line := make([]byte, 4096); !strings.Contains(said.String(), "not reloaded"); {
		n, err := l.Read(line)
		if err != nil {
			t.Fatalf("%v; said\n%s", err, said.String())
		}
		said.Write(line[:n])
	}
	// Facility 16 with severities 6 and 3.
	for _, want := range []string{`(?m)^<134>.* weir\[\d+\]: msg="weir starts" `, `(?m)^<131>.* weir\[\d+\]: msg="configuration refused" `} {
		if !regexp.MustCompile(want).MatchString(said.String()) {
			t.Errorf("no %s in\n%s", want, said.String())
		}
	}
	if err := b.end(); err != nil || b.log.String() != "" {
		t.Errorf("%v; standard error:\n%s", err, b.log)
	}
}

func TestWithoutASystemLogStandardErrorSaysSo(t *testing.T) {
	b := newBench(t, cf(1, `logfile="local0"`))
	b.m.syslog = func(syslog.Priority) (*syslog.Writer, error) { return nil, errors.New("nobody there") }
	b.start()
	if err := b.end(); err != nil || !strings.Contains(b.log.String(), "nobody there") || !strings.Contains(b.log.String(), "weir starts") {
		t.Errorf("%v; log:\n%s", err, b.log)
	}
}

func TestALogFileThatCannotBeOpenedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, cf(1, `logfile="`+dir+`/weir.log"`))
	b.start()
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	b.hangup <- os.Interrupt
	b.eventually("said in the old file", func() bool {
		text, err := os.ReadFile(dir + ".1/weir.log")
		return err == nil && strings.Contains(string(text), `level=ERROR msg="log file not changed"`) && strings.Contains(string(text), dir+"/weir.log: no such file")
	})
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
