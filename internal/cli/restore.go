package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/weir-lb/weir/internal/dialect/ipvsadm"
	"github.com/weir-lb/weir/internal/lvs"
)

// atOnce is how many changes are asked for in one request.
const atOnce = 10_000

// A restoring carries out many command lines. Changes are collected and asked
// for together; everything else, and every message, waits until those before
// it are done.
type restoring struct {
	*speaker
	waiting []ipvsadm.Command
	status  int // of the last line
}

func (s *speaker) restore(ctx context.Context, in io.Reader) int {
	r := &restoring{speaker: s}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if end := r.line(ctx, lines.Text()); end {
			return r.status
		}
	}
	if r.flush(ctx) {
		return r.status
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(s.Stderr, err)
		return Usage
	}
	return r.status
}

// line carries out one line, and tells whether the rest is not to be read.
func (r *restoring) line(ctx context.Context, text string) (end bool) {
	var words []string
	for _, w := range strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '\t' || c == '\n' }) {
		if w != "ipvsadm" {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		return false
	}
	c, fault := ipvsadm.Parse(words, r.names)
	if fault == nil && c.Verb == ipvsadm.Restore {
		fault = ipvsadm.TryHelp
	}
	if _, isChange := c.Change(); isChange && fault == nil {
		r.waiting = append(r.waiting, c)
		return len(r.waiting) >= atOnce && r.flush(ctx)
	}
	if r.flush(ctx) {
		return true
	}
	if fault != nil {
		r.status = r.fail(fault)
		return fault.Ends()
	}
	r.status = r.obey(ctx, c)
	return r.status == ipvsadm.ListCode || r.status == Usage
}

// flush carries out the changes that wait. What is refused is told, and the
// others go on; without weir nothing does.
func (r *restoring) flush(ctx context.Context) (end bool) {
	if len(r.waiting) == 0 {
		return false
	}
	var changes []lvs.Change
	for _, c := range r.waiting {
		change, _ := c.Change()
		changes = append(changes, change)
	}
	errs, err := r.weir.Change(ctx, changes)
	if err != nil {
		r.status = r.outcome(r.waiting[0], err)
		return true
	}
	for i, c := range r.waiting {
		r.status = r.outcome(c, errs[i])
	}
	r.waiting = nil
	return false
}

// restoreAll is ipvsadm-restore, a script that clears the table, drops
// comments and runs ipvsadm -R.
func (s *speaker) restoreAll(ctx context.Context, _ []string) int {
	if code := s.run(ctx, []string{"-C"}); code != Good {
		return code
	}
	read, write := io.Pipe()
	go func() {
		lines := bufio.NewScanner(s.Stdin)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "#") {
				continue
			}
			if _, err := fmt.Fprintln(write, lines.Text()); err != nil {
				break // the reader has seen enough
			}
		}
		_ = write.CloseWithError(lines.Err())
	}()
	defer read.Close()
	return s.restore(ctx, read)
}
