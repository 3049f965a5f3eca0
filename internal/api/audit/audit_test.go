package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheFileIsLeftWhenItIsMovedAway(t *testing.T) {
	var out bytes.Buffer
	l := New(slog.New(slog.NewTextHandler(&out, nil)))
	path := filepath.Join(t.TempDir(), "audit")
	l.Write(Record{Who: "first", Outcome: "done"})
	if err := l.To(path); err != nil {
		t.Fatal(err)
	}
	l.Write(Record{Who: "a <b>\n\"c\"", Outcome: "refused", Time: time.Unix(1e9, 0).UTC()})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Write(Record{Who: "still there"})
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Write(Record{Who: "anew"})
	if err := l.To(filepath.Join(t.TempDir(), "no", "such")); err == nil {
		t.Error("a file nowhere is taken")
	}
	l.Write(Record{Who: "also anew"})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for file, want := range map[string][]string{path + ".1": {"a <b>\n\"c\"", "still there"}, path: {"anew", "also anew"}} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%s:\n%s", file, text)
		}
		for i, line := range lines {
			var r Record
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.Who != want[i] {
				t.Errorf("%s: %+v, %v", line, r, err)
			}
		}
	}
	if !strings.Contains(out.String(), "who=first") || strings.Contains(out.String(), "anew") {
		t.Errorf("log:\n%s", &out)
	}
}

// TestWhatTheFileDoesNotTakeIsInTheLog, and a long request does not fill it.
func TestWhatTheFileDoesNotTakeIsInTheLog(t *testing.T) {
	var out bytes.Buffer
	l := New(slog.New(slog.NewTextHandler(&out, nil)))
	if err := l.To("/dev/full"); err != nil {
		t.Fatal(err)
	}
	l.Write(Record{Who: "one", What: "-C", Outcome: "done", Status: 200})
	if !strings.Contains(out.String(), "takes no more") || !strings.Contains(out.String(), "what=-C") {
		t.Errorf("log:\n%s", &out)
	}
	out.Reset()
	if err := l.To(""); err != nil {
		t.Fatal(err)
	}
	l.Write(make([]Record, 1000)...)
	if n := strings.Count(out.String(), "\n"); n != MostInLog+1 || !strings.Contains(out.String(), "980 more changes") {
		t.Errorf("%d lines:\n%s", n, &out)
	}
}
