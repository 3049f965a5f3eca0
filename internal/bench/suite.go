package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"time"
)

// A Suite is a choice of measurements and how thorough they are.
type Suite struct {
	Short bool     // a few minutes, else about thirty
	Parts []string // names of Parts; empty: all
	Only  *regexp.Regexp
	Doors []bool
	Flows []uint32 // nil: as many as fit
	Weir  string   // the program
	Peers string   // a folder with other balancers' programs
	Guest []string // more words for the duel in the guest
	Out   io.Writer
	Log   *slog.Logger
}

// parts are the measurements in their order on the page.
var parts = []struct {
	name string
	run  func(Suite, context.Context) ([]Series, error)
}{
	{"packet", Suite.packets},
	{"anatomy", Suite.anatomy},
	{"peers", Suite.peers},
	{"memory", Suite.memory},
	{"control", Suite.control},
	{"expiry", Suite.expiry},
	{"rivals", Suite.rivals},
	{"guest", Suite.guest},
}

// Parts are the names of what can be measured.
func Parts() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// Run measures and tells what it has as it has it. What fails is told at the
// end, with what was measured all the same.
func (s Suite) Run(ctx context.Context) (all []Series, err error) {
	for _, p := range parts {
		if len(s.Parts) > 0 && !slices.Contains(s.Parts, p.name) {
			continue
		}
		began := time.Now()
		some, failed := p.run(s, ctx)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if failed != nil {
			failed = fmt.Errorf("measure %s: %w", p.name, failed)
			fmt.Fprintln(s.Out, failed)
			err = errors.Join(err, failed)
			continue
		}
		all = append(all, some...)
		for _, one := range some {
			fmt.Fprint(s.Out, one.Text())
			if g := one.growth(); g != "" {
				fmt.Fprintln(s.Out, g)
			}
		}
		fmt.Fprintf(s.Out, "(%s took %s)\n", p.name, time.Since(began).Round(time.Second))
	}
	return all, err
}

func (s Suite) packets(ctx context.Context) ([]Series, error) {
	o := PacketOptions{Only: s.Only, Doors: s.Doors, Flows: s.Flows, Rounds: 9, Times: 500_000, Out: s.Out}
	if s.Short {
		o.Times, o.Rounds = 200_000, 3
	}
	if o.Flows == nil {
		o.Flows = []uint32{1, 1_000, 100_000, 1_000_000}
		if s.Short {
			o.Flows = []uint32{1, 1_000_000}
		}
	}
	if o.Doors == nil {
		o.Doors = []bool{true, false}
	}
	all, err := Packets(ctx, o, s.Log)
	return PacketSeries(all), err
}

func (s Suite) anatomy(ctx context.Context) ([]Series, error) {
	o := AnatomyOptions{Flows: s.Flows, Rounds: 25, Times: 300_000}
	if s.Short {
		o.Rounds, o.Times = 9, 100_000
	}
	if o.Flows == nil {
		o.Flows = []uint32{1, 1_000_000}
	}
	a, err := Anatomy(ctx, o, s.Log)
	return some(a), err
}

// peers are measured where the user has their programs, in a short run only
// when asked for.
func (s Suite) peers(ctx context.Context) ([]Series, error) {
	asked := slices.Contains(s.Parts, "peers")
	if _, err := os.Stat(s.Peers); err != nil && asked {
		return nil, fmt.Errorf("no programs to compare with (tools/bench-peers makes them): %w", err)
	} else if !asked && (s.Short || err != nil) {
		fmt.Fprintln(s.Out, "not beside other balancers' programs, which tools/bench-peers builds and PARTS=peers asks for")
		return nil, nil
	}
	o := PeerOptions{Folder: s.Peers, Only: s.Only, Flows: s.Flows, Rounds: 9, Times: 300_000, Out: s.Out}
	if s.Short {
		o.Times, o.Rounds = 200_000, 5
	}
	if o.Flows == nil {
		o.Flows = []uint32{1, 1_000, 100_000, 1_000_000}
	}
	return Peers(ctx, o, s.Log)
}

func (s Suite) memory(ctx context.Context) ([]Series, error) {
	m, err := Memory(ctx, 1_000_000, s.Log)
	if err != nil || s.Short {
		return some(m), err
	}
	g, err := MemoryGrowth(ctx, []int{10_000, 100_000, 1_000_000, 10_000_000}, s.Log)
	return some(m, g), err
}

func (s Suite) control(ctx context.Context) ([]Series, error) {
	services := []int{1, 100, 1_000, 10_000}
	if s.Short {
		services = services[3:]
	}
	return Control(ctx, s.Weir, services, s.Short, s.Log)
}

func (s Suite) expiry(ctx context.Context) ([]Series, error) {
	if s.Short {
		return nil, nil
	}
	e, err := Expiry(ctx, []int{10_000, 100_000, 1_000_000, 10_000_000}, s.Log)
	return some(e), err
}

func (s Suite) rivals(ctx context.Context) ([]Series, error) {
	if s.Short {
		return Rivals(ctx, s.Weir, 1, time.Second, s.Only)
	}
	return Rivals(ctx, s.Weir, 5, 2*time.Second, s.Only)
}

func (s Suite) guest(ctx context.Context) ([]Series, error) {
	if s.Short {
		return nil, nil // the guest alone takes longer
	}
	g, err := Guest(ctx, s.Guest, s.Out)
	return some(g), err
}
