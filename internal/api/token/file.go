package token

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// maxText bounds a file that is read.
const maxText = 1 << 20

// Read reads a token file. One that others than its owner may write is
// refused: whoever can write it can let himself in.
func Read(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	if m := info.Mode(); !m.IsRegular() || m.Perm()&0o022 != 0 {
		return nil, fmt.Errorf("read the tokens: others than its owner may write %s, or it is no file; chmod 0600 it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("read the tokens: %s is larger than %d KiB", path, maxText>>10)
	}
	return Parse(path, string(text))
}

// Add puts an entry into the file, which is made if it is not there.
func Add(path string, e Entry) error {
	return change(path, func(all []Entry) ([]Entry, error) {
		if slices.ContainsFunc(all, func(x Entry) bool { return x.Name == e.Name }) {
			return nil, fmt.Errorf("there is a token %s already; take it away with: weir token remove %s", e.Name, e.Name)
		}
		if len(all) == MaxTokens {
			return nil, fmt.Errorf("there are %d tokens already; remove some", MaxTokens)
		}
		return append(all, e), nil
	})
}

// Remove takes the entry of that name out of the file.
func Remove(path, name string) error {
	return change(path, func(all []Entry) ([]Entry, error) {
		i := slices.IndexFunc(all, func(x Entry) bool { return x.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no token %q; see them with: weir token list", name)
		}
		return slices.Delete(all, i, i+1), nil
	})
}

// change rewrites the file, whole or not at all. Who does so at the same time
// waits: the directory is locked meanwhile.
func change(path string, do func([]Entry) ([]Entry, error)) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("change the tokens: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("change the tokens: %w", err)
	}
	defer d.Close()
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("change the tokens: lock %s: %w", dir, err)
	}
	all, err := Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if all, err = do(all); err != nil {
		return err
	}
	if err := replace(path, Text(all)); err != nil {
		return fmt.Errorf("change the tokens: %w", err)
	}
	return nil
}

func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tokens-") // for its owner only
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
