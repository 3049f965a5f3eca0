package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/api/client"
)

// remembered configurations; the oldest go.
const mostVersions = 20

// A history keeps the texts of the configurations that were applied, each in a
// file of its own beside the socket: its name is when and how.
type history struct{ dir string }

func historyOf(socket string) history {
	return history{filepath.Join(filepath.Dir(socket), "history")}
}

// versions lists what is kept, oldest first.
func (h history) versions() ([]client.Version, error) {
	files, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	var out []client.Version
	for _, f := range files {
		id, how, ok := strings.Cut(f.Name(), "-")
		n, err := strconv.ParseInt(id, 10, 64)
		if !ok || err != nil {
			continue // none of ours
		}
		out = append(out, client.Version{ID: id, At: time.Unix(0, n), How: how})
	}
	slices.SortFunc(out, func(a, b client.Version) int { return a.At.Compare(b.At) })
	return out, nil
}

func (h history) file(v client.Version) string { return filepath.Join(h.dir, v.ID+"-"+v.How) }

// keep adds a text that was applied, unless it is the newest already.
func (h history) keep(text []byte, how string) error {
	all, err := h.versions()
	if err != nil {
		return err
	}
	if n := len(all); n > 0 {
		if newest, err := os.ReadFile(h.file(all[n-1])); err == nil && bytes.Equal(newest, text) {
			return nil
		}
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	v := client.Version{ID: strconv.FormatInt(time.Now().UnixNano(), 10), How: how}
	if err := replaceFile(h.file(v), text, 0o600); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	for i := 0; i < len(all)+1-mostVersions; i++ {
		err = errors.Join(err, os.Remove(h.file(all[i])))
	}
	return err
}

// before is the text before the newest.
func (h history) before() ([]byte, error) {
	all, err := h.versions()
	if err != nil {
		return nil, err
	}
	if len(all) < 2 {
		return nil, errors.New("there is no configuration to go back to")
	}
	return os.ReadFile(h.file(all[len(all)-2]))
}

// remove takes everything away.
func (h history) remove() error {
	all, err := h.versions()
	for _, v := range all {
		err = errors.Join(err, os.Remove(h.file(v)))
	}
	if rm := os.Remove(h.dir); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// replaceFile puts a new file in the place of one, whole or not at all.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".weir-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
