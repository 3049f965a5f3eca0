package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/weir-lb/weir/internal/realserver"
)

// version changes with what the file means.
const version = 1

// A record is what was asked for and what was changed for it.
type record struct {
	Version int                 `json:"weir_realserver"`
	Wish    realserver.Wish     `json:"wish"`
	Changes []realserver.Change `json:"changes"`
}

// read is nil if nothing is remembered.
func (h Host) read() (*record, error) {
	text, err := os.ReadFile(h.Record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was changed on this host: %w", err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read what was changed on this host: %s: %w; undo by hand what it says, then remove it", h.Record, err)
	}
	if r.Version != version {
		return nil, fmt.Errorf("read what was changed on this host: %s is of another version of weir; undo with that one: weir realserver down", h.Record)
	}
	return &r, nil
}

// write replaces the file as a whole. It is on the disk when write returns.
func (h Host) write(r record) error {
	r.Version = version
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("remember what is changed on this host: %w", err)
	}
	f, err := os.OpenFile(h.Record+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("remember what is changed on this host: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), h.Record)
	}
	if err != nil {
		return fmt.Errorf("remember what is changed on this host: %w", err)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was changed on this host: %w", err)
	}
	return nil
}
