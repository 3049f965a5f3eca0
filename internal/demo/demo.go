// Package demo is the main job on one machine: it builds a client, a director
// and three real servers out of network namespaces, runs the real weir there,
// sends real requests through it and compares what it sees with what weir
// promises.
//
// It touches nothing outside the namespaces and the one directory it makes,
// and removes all of it in the end, however it ends. It never looks into weir:
// it starts it as a program and asks it as any client does.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options say how the demo is shown.
type Options struct {
	Stdout, Stderr io.Writer
	Terminal       bool // Stdout is one: progress may move
	JSON           bool // results as one document on Stdout, progress on Stderr
	Keep           bool // leave the cluster and weir running
	Version        string
}

var (
	// ErrDiffers says that weir did not do what it promises.
	ErrDiffers = errors.New("what was seen differs from what was promised; look again with: weir demo --keep")

	// ErrInterrupted says that the demo was stopped halfway.
	ErrInterrupted = errors.New("interrupted; everything the demo had built is removed")

	errRoot = errors.New("the demo builds network namespaces and runs weir in one, which needs root; run it as root")
)

// Run plays every chapter and prints what was seen.
func Run(ctx context.Context, o Options) error {
	if os.Geteuid() != 0 {
		return errRoot
	}
	p := newProgress(o)
	defer p.close()
	report := Report{Version: o.Version, Began: time.Now()}
	s, err := build(ctx, p)
	if err != nil {
		return stopped(ctx, err)
	}
	// Again for the sake of a panic; a second time does nothing.
	defer s.remove()

	report.Chapters = s.play(ctx, chapters(o.Keep))
	interrupted := ctx.Err() != nil
	if o.Keep && !interrupted {
		s.leave()
	} else {
		report.add(s.cleanUp())
	}
	p.close()
	if interrupted {
		return ErrInterrupted
	}
	report.finish(time.Now())
	return errors.Join(show(o, report, s), verdict(report))
}

// stopped prefers the reason to its consequences.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return err
}

func verdict(r Report) error {
	if !r.OK {
		return ErrDiffers
	}
	return nil
}

// show prints the report, what to look at if it is bad, and how to enter what
// was kept.
func show(o Options, r Report, s *stage) error {
	if !r.OK {
		fmt.Fprintf(o.Stderr, "\nthe last lines of weir's log:\n%s\n", s.logEnd)
	}
	err := r.print(o)
	if o.Keep {
		w := o.Stdout
		if o.JSON {
			w = o.Stderr
		}
		fmt.Fprint(w, s.directions())
	}
	return err
}
