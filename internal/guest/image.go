package guest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// home is where the script runs, from the root.
const home = "root"

// initScript is process 1. It is dash that runs it, not busybox's shell,
// which would prefer its own ip over iproute2's.
const initScript = `#!/bin/dash
export PATH=/sbin:/usr/sbin:/bin:/usr/bin:/busybox HOME=/` + home + `
/busybox/busybox --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /run/netns /dev/shm
ulimit -n 65536
while read -r m; do insmod "$m"; done </modules
ip link set lo up
cd /` + home + `
stty -F /dev/ttyS1 raw -echo
dash /script </dev/null >/dev/ttyS1 2>&1
code=$?
echo >/dev/ttyS1
echo "` + sentinel + `$code" >/dev/ttyS1
sync
poweroff -f
`

// inside is a path in the guest, from the root.
func inside(to string) string {
	if path.IsAbs(to) {
		return strings.TrimPrefix(to, "/")
	}
	return path.Join(home, to)
}

// image writes the guest's file system: an initramfs, unpacked by the kernel
// into memory.
func (m Machine) image(k Kernel, script, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(w)
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "root", "etc", "busybox"} {
		a.dir(dir)
	}
	a.symlink("var/run", "/run")
	a.symlink("bin/sh", "dash")
	a.bytes("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\n"))
	a.bytes("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	a.bytes("init", 0o755, []byte(initScript))
	a.bytes("script", 0o644, []byte(script))
	if err := addModules(a, k); err != nil {
		return err
	}
	if err := addPrograms(a); err != nil {
		return err
	}
	for _, file := range m.Files {
		a.file(inside(file.To), file.From, file.Mode)
	}
	if err := a.close(); err != nil {
		return err
	}
	return w.Flush()
}

func addModules(a *archive, k Kernel) error {
	files, err := wanted(k)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, file := range files {
		to := filepath.Join("lib/modules", k.Version, file)
		a.file(to, filepath.Join(k.Modules, file), 0o644)
		fmt.Fprintf(&list, "/%s\n", to)
	}
	a.bytes("modules", 0o644, []byte(list.String()))
	return nil
}

func addPrograms(a *archive) error {
	busybox, err := find("busybox")
	if err != nil {
		return err
	}
	a.file("busybox/busybox", busybox, 0o755)
	for _, name := range programs {
		path, err := find(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.file(filepath.Join("bin", name), path, 0o755)
		for _, lib := range libraries(path) {
			a.file(strings.TrimPrefix(lib, "/"), lib, 0o755)
		}
	}
	return nil
}

var inLdd = regexp.MustCompile(`(/\S+) \(0x`)

// libraries are the shared objects a program loads; a static one has none,
// and ldd then says so with an error.
func libraries(program string) (files []string) {
	out, _ := exec.Command("ldd", program).Output()
	for _, m := range inLdd.FindAllSubmatch(out, -1) {
		files = append(files, string(m[1]))
	}
	return files
}
