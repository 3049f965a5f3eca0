package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestApplyAndRollback(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	apply := func(text string) error {
		_, err := b.c.ApplyConfig(t.Context(), []byte(text))
		return err
	}
	if err := apply("frob=3\n"); err == nil || !strings.Contains(err.Error(), "lb.cf:1: ") {
		t.Errorf("a broken one: %v", err)
	}
	if text, err := os.ReadFile(b.file); err != nil || string(text) != cf(1, "") {
		t.Errorf("a broken one has touched the file: %v\n%s", err, text)
	}
	if err := apply(cf(2, "")); err != nil || b.weight() != 2 {
		t.Errorf("weight %d, %v", b.weight(), err)
	}
	if info, err := os.Stat(b.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if out, errs, code := b.weir("rollback"); code != 0 || b.weight() != 1 {
		t.Errorf("rollback: %d %s%s, weight %d", code, out, errs, b.weight())
	}
	if text, err := os.ReadFile(b.file); err != nil || string(text) != cf(1, "") {
		t.Errorf("the file was not rolled back: %v\n%s", err, text)
	}
	b.weir("rollback")
	if b.weight() != 2 {
		t.Errorf("twice: weight %d", b.weight())
	}
	all, err := b.c.History(t.Context())
	var how []string
	for _, v := range all {
		how = append(how, v.How)
	}
	if got := strings.Join(how, " "); err != nil || got != "start apply rollback rollback" {
		t.Errorf("history %q, %v", got, err)
	}
	if out, _, code := b.weir("history"); code != 0 || strings.Count(out, "rollback") != 2 {
		t.Errorf("%d\n%s", code, out)
	}
	for range 30 {
		b.weir("rollback")
	}
	if all, err = b.c.History(t.Context()); err != nil || len(all) != mostVersions {
		t.Errorf("%d versions are kept, %v", len(all), err)
	}
	if err := errors.Join(b.end(), forget(b.m.Socket)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(historyOf(b.m.Socket).dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the history is left behind: %v", err)
	}
}

func TestNothingToGoBackTo(t *testing.T) {
	b := newBench(t, cf(1, ""))
	b.start()
	if _, err := b.c.Rollback(t.Context()); err == nil || !strings.Contains(err.Error(), "no configuration to go back to") {
		t.Errorf("%v", err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
