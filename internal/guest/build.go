package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// BuildTest compiles the tests of a package, named as go does from the
// directory of the caller, into one static program under dir.
func BuildTest(ctx context.Context, pkg, dir string) (program string, err error) {
	program = filepath.Join(dir, filepath.Base(pkg)+".test")
	return program, build(ctx, "test", "-c", "-o", program, pkg)
}

// BuildProgram compiles a command into one static program under dir.
func BuildProgram(ctx context.Context, pkg, dir string) (program string, err error) {
	program = filepath.Join(dir, filepath.Base(pkg))
	return program, build(ctx, "build", "-o", program, pkg)
}

func build(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
