package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRow(t *testing.T) {
	c := chapter{name: "c", promise: "p"}
	for _, tt := range []struct {
		name string
		fill func(*sight)
		err  error
		ok   bool
		seen string
	}{
		{"nothing was seen", func(*sight) {}, nil, false, ""},
		{"an error", func(g *sight) { g.see(true, "a") }, errors.New("boom"), false, "a, boom (!)"},
		{"one wrong among right", func(g *sight) { g.see(true, "a"); g.see(false, "b"); g.see(true, "c") }, nil, false, "a, b (!), c"},
		{"all right", func(g *sight) { g.see(true, "a %d", 1); g.see(true, "b") }, nil, true, "a 1, b"},
	} {
		var g sight
		tt.fill(&g)
		if r := g.row(c, tt.err, time.Second); r.OK != tt.ok || r.Seen != tt.seen || r.Chapter != "c" || r.Promised != "p" || r.Seconds != 1 {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

func TestFinish(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows []Row
		ok   bool
		sum  string
	}{
		{"nothing at all", nil, false, "all 0 chapters as promised, in 2 s"},
		{"one bad", []Row{{OK: true}, {}, {OK: true}}, false, "1 of 3 chapters FAILED, in 2 s"},
		{"all good", []Row{{OK: true}, {OK: true}}, true, "all 2 chapters as promised, in 2 s"},
	} {
		r := Report{Began: time.Unix(10, 0), Chapters: tt.rows}
		r.finish(time.Unix(12, 0))
		if r.OK != tt.ok || r.sum() != tt.sum || (verdict(r) == nil) != tt.ok {
			t.Errorf("%s: ok %v, %q, %v", tt.name, r.OK, r.sum(), verdict(r))
		}
	}
}

func report() Report {
	r := Report{Began: time.Unix(10, 0), Chapters: []Row{
		{Chapter: "short", Promised: "é", Seen: "x", OK: true, Numbers: map[string]float64{"failed": 0}},
		{Chapter: "a long one", Promised: "much", Seen: "little"},
	}}
	r.finish(time.Unix(13, 0))
	return r
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := report().print(Options{Stdout: &b}); err != nil {
		t.Fatal(err)
	}
	want := `
        CHAPTER     PROMISED  SEEN
ok      short       é         x
FAILED  a long one  much      little

1 of 2 chapters FAILED, in 3 s
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := report().print(Options{Stdout: &b, JSON: true}); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(b.String()))
	d.DisallowUnknownFields()
	var back Report
	if err := d.Decode(&back); err != nil || back.OK || len(back.Chapters) != 2 || back.Seconds != 3 {
		t.Errorf("%v: %+v", err, back)
	}
	if !strings.Contains(b.String(), `"failed": 0`) {
		t.Errorf("a number that is zero is a number: %s", b.String())
	}
}

func TestProgressInPlainLines(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Options{Stdout: &b})
	p.begin("work")
	p.live(func() string { return "never shown" })
	p.note("half of it")
	p.row(Row{Chapter: "work", Seen: "done", OK: true})
	p.close()
	p.close()
	want := "        work …\n        half of it\nok      work: done\n"
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestProgressThatMoves(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, moves: true, stop: make(chan struct{})}
	p.draw() // nothing has begun
	p.begin("work")
	p.live(func() string { return "7 requests" })
	p.draw()
	p.row(Row{Chapter: "work", Seen: "done"})
	p.draw() // and nothing goes on
	want := "\r\x1b[K/ work: 7 requests\r\x1b[KFAILED  work: done\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
