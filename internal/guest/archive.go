package guest

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// An archive is a cpio file in the "newc" format, which is what the kernel
// unpacks into its root at boot (Documentation/driver-api/early-userspace).
// The first error stays and is told by close.
type archive struct {
	w    io.Writer
	n    int64
	ino  int
	have map[string]bool
	err  error
}

func newArchive(w io.Writer) *archive {
	return &archive{w: w, have: make(map[string]bool)}
}

// The types of the entries, as in st_mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// parents adds the directories above name, once each.
func (a *archive) parents(name string) {
	if dir := path.Dir(name); dir != "." && dir != "/" {
		a.dir(dir)
	}
}

func (a *archive) dir(name string) {
	if a.have[name] {
		return
	}
	a.parents(name)
	a.have[name] = true
	a.header(name, modeDir|0o755, 0)
}

func (a *archive) symlink(name, to string) {
	a.parents(name)
	a.header(name, modeLink|0o777, int64(len(to)))
	a.write([]byte(to))
	a.pad()
}

func (a *archive) bytes(name string, mode os.FileMode, content []byte) {
	a.parents(name)
	a.have[name] = true
	a.header(name, modeFile|uint32(mode.Perm()), int64(len(content)))
	a.write(content)
	a.pad()
}

// file adds a file of this machine's, what it links to in its place. The
// second of one name is left out: libraries are shared.
func (a *archive) file(name, from string, mode os.FileMode) {
	name = filepath.ToSlash(name)
	if a.have[name] || a.err != nil {
		return
	}
	content, err := os.ReadFile(from)
	if err != nil {
		a.err = err
		return
	}
	a.bytes(name, mode, content)
}

func (a *archive) header(name string, mode uint32, size int64) {
	a.ino++
	a.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.ino, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0))
	a.write([]byte(name + "\x00"))
	a.pad()
}

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	var n int
	n, a.err = a.w.Write(b)
	a.n += int64(n)
}

// pad brings the next part to a multiple of four.
func (a *archive) pad() { a.write(make([]byte, -a.n&3)) }

func (a *archive) close() error {
	a.header("TRAILER!!!", 0, 0)
	return a.err
}
