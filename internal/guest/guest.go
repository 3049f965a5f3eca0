// Package guest boots Debian's own kernel 6.1, the oldest weir promises and
// one with the real ip_vs, in QEMU, and runs a shell script there. Tests that
// need that kernel use it; nothing that ships does.
//
// It changes nothing on the machine it runs on but the cache directory it is
// given, and the guest sees nothing of that machine but the files handed in.
package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Packages are the Debian packages the guest is made of, besides the kernel:
// the emulator, what builds the file system, and the programs inside. A test
// asks that tools/debian-packages installs them all.
var Packages = []string{
	"qemu-system-x86", "busybox-static", "kmod", "dash", "iproute2", "ipvsadm", "ethtool", "procps",
}

// programs are the host's programs a guest always has, with their libraries.
// The rest of a shell's life comes from busybox.
var programs = []string{"dash", "ip", "tc", "ipvsadm", "ethtool", "nsenter", "sysctl"}

// A File is something of this machine's that the guest gets.
type File struct {
	From string // here
	To   string // there; if not absolute, below where the script runs
	Mode os.FileMode
}

// A Machine is what is to be booted. The zero value is a guest with the usual
// modules and nothing of its own.
type Machine struct {
	Cache  string // directory for the kernel and the images; made if missing
	Files  []File
	Memory int    // MiB; 0: 1024
	CPUs   int    // 0: 1
	Kernel string // more words for the kernel's command line
}

// ErrLacking says that a program the guest needs is not installed here.
var ErrLacking = errors.New("not installed")

// Lacking names the first thing that keeps guests from booting on this
// machine; nil if there is none.
func Lacking() error {
	for _, name := range append([]string{"qemu-system-x86_64", "busybox", "depmod", "dpkg", "ldd"}, programs...) {
		if _, err := find(name); err != nil {
			return fmt.Errorf("%s is %w; apt-get install --no-install-recommends %s", name, ErrLacking, strings.Join(Packages, " "))
		}
	}
	return nil
}

// sentinel begins the line in which the guest tells the script's exit code.
const sentinel = "weir-guest: exit "

// Run boots m, runs script in its shell as root, copies what it prints to out
// line by line, and returns its exit code. When ctx ends the guest is killed.
func (m Machine) Run(ctx context.Context, script string, out io.Writer) (int, error) {
	if err := Lacking(); err != nil {
		return 0, err
	}
	kernel, err := FindKernel(ctx, m.Cache)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "weir-guest-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := m.image(kernel, script, initrd); err != nil {
		return 0, fmt.Errorf("build the guest's file system: %w", err)
	}
	return m.boot(ctx, kernel, initrd, filepath.Join(dir, "console"), out)
}

func (m Machine) boot(ctx context.Context, k Kernel, initrd, console string, out io.Writer) (int, error) {
	// Only software emulation: nested virtualisation opens but does not run
	// this kernel everywhere, and a slow oracle is better than none.
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max",
		"-m", strconv.Itoa(orElse(m.Memory, 1024)), "-smp", strconv.Itoa(orElse(m.CPUs, 1)),
		"-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot",
		"-serial", "file:"+console, "-serial", "stdio",
		"-kernel", k.Image, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 quiet net.ifnames=0 no_timer_check "+m.Kernel)
	cmd.WaitDelay = 5 * time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	code, finished := relay(stdout, out)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("the guest was stopped: %w%s", context.Cause(ctx), tail(console))
	}
	if !finished {
		return 0, fmt.Errorf("the guest ended before its script did (%v): %s%s", err, complaints.String(), tail(console))
	}
	return code, nil
}

// relay copies the guest's lines until the one with the exit code.
func relay(from io.Reader, to io.Writer) (code int, finished bool) {
	r := bufio.NewReaderSize(from, 1<<16)
	for {
		line, err := r.ReadString('\n')
		if rest, ok := strings.CutPrefix(line, sentinel); ok {
			code, err := strconv.Atoi(strings.TrimSpace(rest))
			io.Copy(io.Discard, r)
			return code, err == nil
		}
		io.WriteString(to, line)
		if err != nil {
			return 0, false
		}
	}
}

// tail is the end of the kernel's own words, for when it has come to grief.
func tail(console string) string {
	b, err := os.ReadFile(console)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return ""
	}
	return "\n" + string(b[max(0, len(b)-4000):])
}

func orElse(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

// find is exec.LookPath that also looks where root's programs are.
func find(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}
