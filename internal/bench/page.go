package bench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Report is everything that was measured in one go.
type Report struct {
	Machine string   `json:"machine"`
	Kernel  string   `json:"kernel"`
	Version string   `json:"version"` // of weir
	Date    string   `json:"date"`
	Short   bool     `json:"short"` // by bench-quick
	Series  []Series `json:"series"`
}

// NewReport describes this machine.
func NewReport(version string, short bool) Report {
	var u unix.Utsname
	_ = unix.Uname(&u) // fails for a bad address only
	return Report{
		Machine: fmt.Sprintf("%s, %d of its CPUs, %s of memory", processor(), runtime.NumCPU(), memory()),
		Kernel:  unix.ByteSliceToString(u.Release[:]), Version: version,
		Date: time.Now().UTC().Format(time.DateOnly), Short: short,
	}
}

func processor() string { return word("/proc/cpuinfo", "model name", "a processor without a name") }

func memory() string {
	var kib int64
	if _, err := fmt.Sscan(word("/proc/meminfo", "MemTotal", "0"), &kib); err != nil || kib == 0 {
		return "an unknown amount"
	}
	return fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
}

// word is what a file of /proc says behind a name.
func word(file, name, otherwise string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return otherwise
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}

// Medians is the file of figures beside the plots.
const Medians = "medians.json"

// Write puts the page into a folder, with plots and figures in another below it.
func (r Report) Write(docs string) error {
	below := filepath.Join(docs, "benchmarks")
	if err := os.MkdirAll(below, 0o755); err != nil {
		return fmt.Errorf("make room for the plots: %w", err)
	}
	for i := range r.Series {
		r.Series[i].Run, r.Series[i].On = r.run(), r.Machine
	}
	if was, err := ReadReport(docs); err == nil {
		r.Series = beside(was.Series, r.Series)
	}
	figures, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	errs := []error{
		os.WriteFile(filepath.Join(docs, "benchmarks.md"), []byte(r.page()), 0o644),
		os.WriteFile(filepath.Join(below, Medians), append(figures, '\n'), 0o644),
	}
	for _, s := range r.Series {
		errs = append(errs, os.WriteFile(filepath.Join(below, s.Name+".svg"), []byte(s.Plot()), 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// run names this run for the page.
func (r Report) run() string {
	by := "make bench"
	if r.Short {
		by = "make bench-quick"
	}
	return fmt.Sprintf("%s, weir %s, by `%s`", r.Date, r.Version, by)
}

// elsewhere names the machine of a series that is kept from another one.
func (r Report) elsewhere(s Series) string {
	if s.On == r.Machine {
		return ""
	}
	return ", on another machine (" + cmp.Or(s.On, "nobody wrote down which") + ")"
}

// beside puts what was measured now in the place of what it was before, and
// keeps what was not measured.
func beside(was, now []Series) []Series {
	all := slices.Clone(was)
	for _, s := range now {
		if i := slices.IndexFunc(all, func(o Series) bool { return o.Name == s.Name }); i >= 0 {
			all[i] = s
		} else {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b Series) int { return cmp.Compare(place(a.Name), place(b.Name)) })
	return all
}

// order is that of the page, where "as above" means something.
var order = []string{"packet-xdp", "packet-tc", "new-flow", "destinations", "anatomy", "katran", "xvs", "memory", "memory-growth",
	"control", "restart", "expiry", "rivals", "rivals-xdp", "ipvs"}

// place is where a series stands; what is not in order stands last.
func place(name string) int {
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}

// ReadReport reads the figures of an earlier run.
func ReadReport(docs string) (r Report, err error) {
	text, err := os.ReadFile(filepath.Join(docs, "benchmarks", Medians))
	if err != nil {
		return r, fmt.Errorf("read the figures to compare with (make bench writes them): %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("read %s: %w", Medians, err)
	}
	return r, nil
}

const preface = `# Benchmarks

Written by ` + "`%s`" + `, do not edit. It takes %s and needs root; [architecture.md](architecture.md#how-weir-is-measured)
tells how it measures.

| | |
|---|---|
| machine | %s |
| kernel | Linux %s |
| weir | %s |
| date | %s |

Every figure is the median of several measurements; ± is how far the furthest of them lay from it. What is compared was
measured in turns in the same run; a part that was not measured again is kept, and says which run it is of. Figures of
different machines, or of different runs on one, should not be compared: ratios may.

`

func (r Report) page() string {
	var b strings.Builder
	by, takes := "make bench", "less than half an hour"
	if r.Short {
		by, takes = "make bench-quick", "a few minutes, and measures less than `make bench`"
	}
	fmt.Fprintf(&b, preface, by, takes, r.Machine, r.Kernel, r.Version, r.Date)
	for _, s := range r.Series {
		fmt.Fprintf(&b, "## %s\n\n%s\n\nA cell is %s. Run: %s%s.\n\n%s\n", s.Title, s.Method, s.head(), s.Run, r.elsewhere(s), s.Markdown())
		if note := s.growth(); note != "" {
			fmt.Fprintf(&b, "%s\n\n", note)
		}
		fmt.Fprintf(&b, "![%s](benchmarks/%s.svg)\n\n", s.Title, s.Name)
	}
	return b.String()
}
