package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Kernel is an unpacked kernel package.
type Kernel struct {
	Version string // 6.1.0-56-cloud-amd64
	Image   string // the file to boot
	Modules string // directory with modules.dep
}

var kernelName = regexp.MustCompile(`^linux-image-(6\.1\.0-(\d+)-cloud-amd64)$`)

// FindKernel finds the unpacked kernel in the cache directory, or has apt
// download the newest 6.1 and unpacks it there.
func FindKernel(ctx context.Context, cache string) (Kernel, error) {
	// Programs are run in other directories.
	cache, err := filepath.Abs(cache)
	if err != nil {
		return Kernel{}, err
	}
	if k, err := cached(cache); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, err
	}
	name, err := newest(ctx)
	if err != nil {
		return Kernel{}, err
	}
	dir, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return Kernel{}, err
	}
	defer os.RemoveAll(dir)
	if _, err := command(ctx, dir, "apt-get", "download", name); err != nil {
		return Kernel{}, err
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 1 {
		return Kernel{}, fmt.Errorf("apt-get download %s left %d packages", name, len(packages))
	}
	tree := filepath.Join(dir, "tree")
	version := kernelName.FindStringSubmatch(name)[1]
	if _, err := command(ctx, dir, "dpkg", "-x", packages[0], tree); err != nil {
		return Kernel{}, err
	}
	depmod, err := find("depmod")
	if err != nil {
		return Kernel{}, err
	}
	if _, err := command(ctx, dir, depmod, "-b", tree, version); err != nil {
		return Kernel{}, err
	}
	// In one step, so that nobody finds half a kernel. Who comes second keeps
	// what the first one made.
	if err := os.Rename(tree, filepath.Join(cache, version)); err != nil && !errors.Is(err, os.ErrExist) {
		return Kernel{}, err
	}
	return cached(cache)
}

// cached is the newest kernel in the cache.
func cached(cache string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(cache, "6.1.0-*", "boot", "vmlinuz-*"))
	if err != nil || len(images) == 0 {
		return Kernel{}, os.ErrNotExist
	}
	image := slices.MaxFunc(images, func(a, b string) int { return number(a) - number(b) })
	tree := filepath.Dir(filepath.Dir(image))
	version := filepath.Base(tree)
	return Kernel{version, image, filepath.Join(tree, "lib", "modules", version)}, nil
}

func number(path string) int {
	m := kernelName.FindStringSubmatch("linux-image-" + strings.TrimPrefix(filepath.Base(path), "vmlinuz-"))
	if m == nil {
		return -1
	}
	n, _ := strconv.Atoi(m[2]) // digits, by the expression
	return n
}

// newest asks apt which kernels of the family there are.
func newest(ctx context.Context) (string, error) {
	out, err := command(ctx, "", "apt-cache", "search", "--names-only", `^linux-image-6\.1\.0-[0-9]+-cloud-amd64$`)
	if err != nil {
		return "", err
	}
	best, highest := "", -1
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if m := kernelName.FindStringSubmatch(name); m != nil {
			if n, _ := strconv.Atoi(m[2]); n > highest {
				best, highest = name, n
			}
		}
	}
	if best == "" {
		return "", errors.New("apt knows no linux-image-6.1.0-*-cloud-amd64; run apt-get update, on Debian 12")
	}
	return best, nil
}

func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}
