// Package state keeps, in one small file, what the packet engine does not
// remember about its table: which configuration it was made from and what
// operators have changed by hand since. A weir that was killed reads it when it
// starts again.
//
// The file is a list of notes, one JSON object in a line, the newest last. It
// is only ever added to, or replaced as a whole by a shorter one that says the
// same. It belongs to one table: the first line says which. The room never
// asks why a table looks as it does.
package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-lb/weir/internal/plan"
)

// version changes with what the lines mean. A file of version 1, which had the
// configuration in one line, is read; one of another is not.
const version = 2

// slack is how much is added before it is time to begin anew.
const slack = 1 << 20

// A head is the first line.
type head struct {
	Version int       `json:"weir_state"`
	Table   time.Time `json:"table"` // since when the table has been standing
}

// A Journal writes the file at Path. It is made by the first Begin.
type Journal struct {
	path  string
	table time.Time
	file  *os.File
	base  int // bytes when it was begun
	added int
}

// New is a journal about the table that has been standing since then.
func New(path string, table time.Time) *Journal { return &Journal{path: path, table: table} }

// Read reads what was remembered about this table. It is nil if there is
// nothing, or only about a table that stands no more.
func (j *Journal) Read() (*plan.Memory, error) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was changed by hand: %w", err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var h head
	if line, err := r.ReadBytes('\n'); err != nil || json.Unmarshal(line, &h) != nil || h.Version < 1 || h.Version > version {
		return nil, fmt.Errorf("read what was changed by hand: %s is not a file of this version", j.path)
	}
	if !h.Table.Equal(j.table) {
		return nil, nil
	}
	m := plan.NewMemory()
	for n := 2; ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return &m, nil // a line without an end was not written whole
		}
		var note plan.Note
		if err == nil {
			err = json.Unmarshal(line, &note)
		}
		if err != nil {
			return nil, fmt.Errorf("read what was changed by hand: %s:%d: %w", j.path, n, err)
		}
		m.Take(note)
	}
}

// Begin replaces the file by one that holds only these notes.
func (j *Journal) Begin(notes []plan.Note) error {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o755); err != nil {
		return fmt.Errorf("make a place for what is changed by hand: %w", err)
	}
	f, err := os.OpenFile(j.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("remember what is changed by hand: %w", err)
	}
	// Line by line: a large configuration is not to be in memory as text.
	w := &counter{to: bufio.NewWriter(f)}
	err = write(w, head{version, j.table}, notes)
	if err = errors.Join(err, w.to.Flush(), os.Rename(j.path+".new", j.path)); err != nil {
		return fmt.Errorf("remember what is changed by hand: %w", errors.Join(err, f.Close()))
	}
	err = j.Close()
	j.file, j.base, j.added = f, w.n, 0
	return err
}

// Add adds notes. Long says that Begin would make the file much shorter.
func (j *Journal) Add(notes []plan.Note) (long bool, err error) {
	if j.file == nil {
		return true, nil
	}
	var text bytes.Buffer // one write, so that what is torn is the last
	if err := write(&text, nil, notes); err != nil {
		return false, err
	}
	n, err := j.file.Write(text.Bytes())
	j.added += n
	if err != nil {
		return true, fmt.Errorf("remember what is changed by hand: %w", err)
	}
	return j.added > j.base+slack, nil
}

// Close lets go of the file, which stays.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	f := j.file
	j.file = nil
	return f.Close()
}

// Remove takes the file at path away, if there is one.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was changed by hand: %w", err)
	}
	return nil
}

// A counter counts what is written.
type counter struct {
	to *bufio.Writer
	n  int
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += n
	return n, err
}

func write(to io.Writer, first any, notes []plan.Note) error {
	e := json.NewEncoder(to)
	if first != nil {
		if err := e.Encode(first); err != nil {
			return fmt.Errorf("write a note: %w", err)
		}
	}
	for _, n := range notes {
		if err := e.Encode(n); err != nil {
			return fmt.Errorf("write a note: %w", err)
		}
	}
	return nil
}
