package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDiffIsWhatAReloadDoes: of a file with changes, over a table changed by
// hand.
func TestDiffIsWhatAReloadDoes(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	b.speak("", "ipvsadm", "-e", "-t", "192.0.2.1:80", "-r", "10.0.0.1:80", "-m", "-w", "5")
	b.speak("", "ipvsadm", "-A", "-f", "7")
	diff := func(text string) string {
		t.Helper()
		file := filepath.Join(filepath.Dir(b.file), "new.cf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := b.weir("diff", "-c", file)
		if code != 0 || !strings.Contains(errs, "-f 7 was added by hand") || !strings.Contains(errs, "-t 192.0.2.1:80 was changed by hand") {
			t.Errorf("%d: %s", code, errs)
		}
		return out
	}
	if out := diff(cf(1, "")); out != "" {
		t.Errorf("the same file: %s", out)
	}
	added := cf(9, "") + "virtual=192.0.2.2:80\n\treal=10.0.0.2:80 masq 2\n\tfallback=127.0.0.1:80\n\tscheduler=rr\n"
	// The sorry server of a new service waits for its first answers.
	const want = "-e -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 9\n-A -t 192.0.2.2:80 -s rr\n"
	if out := diff(added); out != want {
		t.Errorf("got  %swant %s", out, want)
	}
	if b.weight() != 5 {
		t.Errorf("weight %d: something was done", b.weight())
	}
	b.write(added)
	if _, err := b.c.Reload(t.Context()); err != nil || b.weight() != 9 {
		t.Errorf("reloaded: weight %d, %v", b.weight(), err)
	}
	cfg, err := b.c.Config(t.Context())
	if err != nil || !strings.Contains(cfg.Text, "192.0.2.2:80") || len(cfg.ByHand) != 1 {
		t.Errorf("%+v, %v", cfg, err)
	}
	status, _, v := b.ask("POST", "/v1/config/check", `{"file":"x","text":"virtual=1.2.3.4:80\nfrob=3\n"}`)
	if status != 200 || v["good"] != false {
		t.Errorf("check: %d %v", status, v)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
