package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-lb/weir/internal/lab/labtest"
)

func TestFigure(t *testing.T) {
	f := figure([]float64{5, 1, 3})
	if want := (Figure{3, 1, 5}); f != want {
		t.Errorf("%v, want %v", f, want)
	}
	if got := (Figure{100, 90, 130}).Spread(); math.Abs(got-0.3) > 1e-9 {
		t.Errorf("spread %v, want 0.3", got)
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.0123: "0.0123", 3.14159: "3.14", 138.4: "138", 9876: "9,876", 1234567: "1,230,000", -250.2: "-250"} {
		if got := short(x); got != want {
			t.Errorf("short(%v) is %q, want %q", x, got, want)
		}
	}
}

// sample has two rows of which one grows in proportion, and one not at all.
func sample() Series {
	s := Series{Name: "sample", Title: "A <sample>", Method: "How.", Unit: "ns", Base: "the floor", Net: true, Axis: "flows"}
	for _, n := range []float64{1, 1000, 1_000_000} {
		s.Values = append(s.Values,
			Value{Row: "flat", Column: grouped(int64(n)), Size: n, Figure: Figure{140, 135, 147}, Base: Figure{40, 40, 40}},
			Value{Row: "steep", Column: grouped(int64(n)), Size: n, Figure: Figure{40 + n, 40 + n, 40 + n}, Base: Figure{40, 40, 40}})
	}
	return s
}

func TestMarkdown(t *testing.T) {
	const want = `| flows | 1 | 1,000 | 1,000,000 |
|---|---:|---:|---:|
| flat | 100 (140 ± 5 %, 3.50 ×) | 100 (140 ± 5 %, 3.50 ×) | 100 (140 ± 5 %, 3.50 ×) |
| steep | 1 (41, 1.02 ×) | 1,000 (1,040, 26.00 ×) | 1,000,000 (1,000,000, 25001.00 ×) |
`
	if d := cmp.Diff(want, sample().Markdown()); d != "" {
		t.Error(d)
	}
}

func TestSlope(t *testing.T) {
	for row, want := range map[string]float64{"flat": 0, "steep": 1} {
		if k, ok := sample().slope(row); !ok || math.Abs(k-want) > 1e-9 {
			t.Errorf("%s grows with exponent %v, want %v", row, k, want)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	bars := sample()
	bars.Axis = ""
	for _, s := range []Series{sample(), bars} {
		d := xml.NewDecoder(strings.NewReader(s.Plot()))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in\n%s", err, s.Plot())
			}
		}
	}
}

func TestReportIsReadBack(t *testing.T) {
	docs := t.TempDir()
	r := NewReport("v1", true)
	r.Series = []Series{sample()}
	if err := r.Write(docs); err != nil {
		t.Fatal(err)
	}
	back, err := ReadReport(docs)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, back); d != "" {
		t.Error(d)
	}
	page, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"make bench-quick", "## A <sample>", "steep 1.00", "benchmarks/sample.svg"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("the page does not say %q", part)
		}
	}
}

// A run of one part keeps what others have measured.
func TestPartsAreKept(t *testing.T) {
	docs := t.TempDir()
	kept, old := sample(), sample()
	kept.Name, old.Name = "kept", "again"
	first := NewReport("v1", false)
	first.Series = []Series{kept, old}
	anew := sample()
	anew.Name, anew.Title = "again", "B"
	placed := sample()
	placed.Name = "memory"
	second := NewReport("v2", false)
	second.Machine = "another"
	second.Series = []Series{anew, placed}
	for _, r := range []Report{first, second} {
		if err := r.Write(docs); err != nil {
			t.Fatal(err)
		}
	}
	back, err := ReadReport(docs)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Series) != 3 || back.Series[0].Name != "memory" || !strings.Contains(back.Series[1].Run, "v1") || back.Series[2].Title != "B" || !strings.Contains(back.Series[2].Run, "v2") {
		t.Errorf("%+v", back.Series)
	}
	page, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if want := "on another machine (" + first.Machine + ")"; err != nil || strings.Count(string(page), want) != 1 {
		t.Errorf("%v, and not once %q in\n%s", err, want, page)
	}
}

func TestWorsened(t *testing.T) {
	before := sample()
	before.Name = "packet-xdp"
	now := before
	now.Values = slices.Clone(before.Values)
	slower := func(i int, median, low float64) {
		now.Values[i].Median, now.Values[i].Low = median*now.Values[i].Median, low*now.Values[i].Low
	}
	slower(0, 1.14, 1.16)
	slower(1, 1.16, 1.16)
	slower(4, 1.16, 1.14) // by the machine's other work
	now.Values[2].Row = "not measured then"
	growth := now
	growth.Name = "destinations" // the same figures once more
	worse, compared := worsened([]Series{now, growth}, Report{Series: []Series{before, growth}})
	if compared != 5 || len(worse) != 1 || worse[now.Values[1].Row] == "" {
		t.Errorf("%v of %d figures", worse, compared)
	}
}

// On another machine the clock has no say.
func TestCheckElsewhere(t *testing.T) {
	labtest.NeedRoot(t)
	docs := t.TempDir()
	r := NewReport("v1", false)
	r.Machine = "another processor"
	r.Series = []Series{{Name: "packet-xdp", Values: []Value{{Row: "gate", Column: "1", Size: 1, Figure: Figure{1, 1, 1}, Base: Figure{1, 1, 1}}}}}
	if err := errors.Join(r.Write(docs), Counters{}.Write(docs)); err != nil {
		t.Fatal(err)
	}
	s := Suite{Out: io.Discard, Log: slog.New(slog.DiscardHandler)}
	if err := s.Check(t.Context(), docs); err == nil || !strings.Contains(err.Error(), "gate, xdp: not written down yet") {
		t.Errorf("%v", err)
	}
}

func TestWrkFigures(t *testing.T) {
	const said = `Running 1s test @ http://10.90.1.100:80/
  Latency Distribution
     50%  391.00us
     99%    1.25s 
  34796 requests in 1.00s, 5.44MB read
Requests/sec:  34795.33
`
	rate, late, err := wrkFigures(said)
	if err != nil || rate != 34795.33 || late != 1250 {
		t.Errorf("%v a second, %v ms, %v", rate, late, err)
	}
	for _, bad := range []string{"", strings.Replace(said, "34796", "  Socket errors: connect 0, read 7, write 0, timeout 0\n  34796", 1)} {
		if _, _, err := wrkFigures(bad); err == nil {
			t.Errorf("no error from %q", bad)
		}
	}
}

func TestActiveIn(t *testing.T) {
	const listing = `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.1:80 wlc
  -> 10.1.0.1:80                  Route   1      3334       1         
  -> 10.1.0.2:80                  Route   1      3333       0         
`
	if n, err := activeIn(listing); n != 6667 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
