package ipvs

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// recordVersion changes with what the lines mean.
const recordVersion = 1

// A record remembers, over restarts, what in the kernel is weir's doing: the
// services it put in, and the settings it changed with what they were before.
// It is a file of lines, only ever added to while it is open; what is not about
// this network namespace is void. A line is written before the deed.
type record struct {
	mu       sync.Mutex
	path     string
	file     *os.File
	id       string
	since    time.Time
	services map[lvs.ServiceKey]bool
	before   map[string]string // by setting
}

// openRecord reads what an earlier weir wrote, and begins the file anew with
// what of it still counts.
func openRecord(path, id string) (*record, error) {
	r, err := readRecord(path, id)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = newRecord(path, id, time.Now().Truncate(time.Second))
	}
	return r, r.begin()
}

func newRecord(path, id string, since time.Time) *record {
	return &record{path: path, id: id, since: since, services: map[lvs.ServiceKey]bool{}, before: map[string]string{}}
}

// readRecord is nil if nothing is remembered about this namespace.
func readRecord(path, id string) (*record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what weir put into the kernel: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	var r *record
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if r == nil {
			if r = headOf(path, id, word, rest); r == nil {
				return nil, nil
			}
			continue
		}
		r.take(word, rest)
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) { // no line of weir's
		return nil, fmt.Errorf("read what weir put into the kernel: %w", err)
	}
	return r, nil
}

// headOf reads the first line: version, namespace, since when.
func headOf(path, id, word, rest string) *record {
	f := strings.Fields(rest)
	if word != "ipvs" || len(f) != 3 || f[0] != strconv.Itoa(recordVersion) || f[1] != id {
		return nil
	}
	since, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return nil
	}
	return newRecord(path, id, time.Unix(since, 0))
}

// take reads one line. One that was torn is left out: it came before a deed
// that was not done either.
func (r *record) take(word, rest string) {
	switch word {
	case "put", "drop":
		k, err := lvs.ParseServiceKey(rest)
		switch {
		case err != nil:
		case word == "put":
			r.services[k] = true
		default:
			delete(r.services, k)
		}
	case "set":
		if name, value, ok := strings.Cut(rest, " "); ok {
			r.before[name] = value
		}
	case "unset":
		delete(r.before, rest)
	}
}

// begin writes the file anew, short.
func (r *record) begin() error {
	var b strings.Builder
	fmt.Fprintf(&b, "ipvs %d %s %d\n", recordVersion, r.id, r.since.Unix())
	for k := range r.services {
		fmt.Fprintf(&b, "put %s\n", k)
	}
	for name, value := range r.before {
		fmt.Fprintf(&b, "set %s %s\n", name, value)
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return fmt.Errorf("make a place to remember what weir puts into the kernel: %w", err)
	}
	f, err := os.OpenFile(r.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("remember what weir puts into the kernel: %w", err)
	}
	_, err = f.WriteString(b.String())
	if err = errors.Join(err, os.Rename(r.path+".new", r.path)); err != nil {
		return fmt.Errorf("remember what weir puts into the kernel: %w", errors.Join(err, f.Close()))
	}
	r.file = f
	return nil
}

func (r *record) add(line string) error {
	if _, err := r.file.WriteString(line + "\n"); err != nil {
		return fmt.Errorf("remember what weir puts into the kernel: %w", err)
	}
	return nil
}

// put remembers that a service is weir's.
func (r *record) put(k lvs.ServiceKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.services[k] {
		return nil
	}
	if err := r.add("put " + k.String()); err != nil {
		return err
	}
	r.services[k] = true
	return nil
}

// drop forgets a service that is gone.
func (r *record) drop(k lvs.ServiceKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.services[k] {
		return nil
	}
	delete(r.services, k)
	return r.add("drop " + k.String())
}

// set remembers what a setting was before weir changed it the first time.
func (r *record) set(name, before string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.before[name]; known {
		return nil
	}
	if err := r.add("set " + name + " " + before); err != nil {
		return err
	}
	r.before[name] = before
	return nil
}

// unset forgets a setting that is as it was.
func (r *record) unset(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.before[name]; !known {
		return nil
	}
	delete(r.before, name)
	return r.add("unset " + name)
}

func (r *record) ours() map[lvs.ServiceKey]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.services)
}

func (r *record) settings() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.before)
}

func (r *record) close() error { return r.file.Close() }

// remove takes the file away.
func (r *record) remove() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what weir put into the kernel: %w", err)
	}
	return nil
}
