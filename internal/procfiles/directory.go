package procfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
)

// marker is the file by which a directory is known to be weir's. It has the
// directories in it that were made for it, one in a line.
const marker = ".weir"

// temporary begins the names of files that are not whole yet.
const temporary = ".weir-"

// take makes directory one of weir's, and remembers it in the file note.
func take(directory, note string) error {
	made, err := makeAll(directory)
	if err != nil {
		return fmt.Errorf("proc_files: %w", err)
	}
	there, err := os.ReadDir(directory)
	if err != nil {
		return fmt.Errorf("proc_files: %w", err)
	}
	ours := slices.ContainsFunc(there, func(e fs.DirEntry) bool { return e.Name() == marker })
	if len(there) > 0 && !ours {
		return fmt.Errorf("proc_files: %s holds things of others; name a directory of its own", directory)
	}
	if err := os.MkdirAll(filepath.Dir(note), 0o755); err != nil {
		return fmt.Errorf("proc_files: %w", err)
	}
	if err := os.WriteFile(note, []byte(directory+"\n"), 0o600); err != nil {
		return fmt.Errorf("proc_files: %w", err)
	}
	if ours {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(directory, marker), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("proc_files: %w", err)
	}
	for _, d := range made {
		_, wrong := f.WriteString(d + "\n")
		err = errors.Join(err, wrong)
	}
	return errors.Join(err, f.Close())
}

// makeAll makes directory and what leads to it, and gives those it made,
// directory first.
func makeAll(directory string) (made []string, err error) {
	if !filepath.IsAbs(directory) {
		return nil, fmt.Errorf("%s is no absolute path", directory)
	}
	for d := filepath.Clean(directory); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		made = append(made, d)
	}
	return made, os.MkdirAll(directory, 0o755)
}

// remembered is the directory in the file note; empty: none.
func remembered(note string) string {
	text, err := os.ReadFile(note)
	directory := strings.TrimSpace(string(text))
	if err != nil || !filepath.IsAbs(directory) {
		return ""
	}
	return directory
}

// Remove takes away what is in the directory that the file note remembers, and
// the directories that were made for it as long as nothing else is in them.
func Remove(note string) error {
	directory := remembered(note)
	if directory == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(directory, marker))
	if err == nil {
		err = clear(directory, strings.Split(string(text), "\n"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the proc files away: %w", err)
	}
	return os.Remove(note)
}

func clear(directory string, made []string) error {
	names := append(slices.Clone(ipvsadm.Files), marker)
	if half, err := filepath.Glob(filepath.Join(directory, temporary+"*")); err == nil {
		for _, f := range half {
			names = append(names, filepath.Base(f))
		}
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(directory, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for d := filepath.Clean(directory); slices.Contains(made, d); d = filepath.Dir(d) {
		if os.Remove(d) != nil {
			return nil // others have put something into it
		}
	}
	return nil
}
