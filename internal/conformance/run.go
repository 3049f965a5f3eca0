package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// shards is how many directors of each body work side by side: most of the
// time is spent waiting for the kernel's clocks.
const shards = 2

// Observe runs every scenario on every body and writes an Observation for
// each, one JSON value in a line, in no order. It is what happens inside the
// guest.
func Observe(all []Scenario, to io.Writer) error {
	// The kernel shows what its estimator saw up to two seconds ago. All wait,
	// so that their timers can be compared afterwards.
	return observeOn(all, to, func() []body { return append(weirs(), &ipvs{}) }, shards, 2200*time.Millisecond)
}

// weirs are the bodies that need no module of the kernel.
func weirs() []body { return []body{&engine{mode: ebpf.TC}, &engine{mode: ebpf.XDP}} }

// observeOn is Observe on bodies of one's choice, with a wait before counters
// are read.
func observeOn(all []Scenario, to io.Writer, bodies func() []body, shards int, settle time.Duration) error {
	w := &writer{enc: json.NewEncoder(to)}
	var group errgroup.Group
	for shard := range shards {
		var part []Scenario
		for i := shard; i < len(all); i += shards {
			part = append(part, all[i])
		}
		for _, b := range bodies() {
			group.Go(func() error {
				if err := observe(part, b, w, settle); err != nil {
					return fmt.Errorf("%s: %w", b.name(), err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// A writer lets several write whole lines.
type writer struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (w *writer) write(o Observation) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enc.Encode(o)
}

func observe(part []Scenario, b body, w *writer, settle time.Duration) error {
	r, err := newRig()
	if err != nil {
		return err
	}
	r.settle = settle
	defer r.Close()
	if err := b.enter(r); err != nil {
		return err
	}
	for _, s := range part {
		o := Observation{Scenario: s.Name, Body: b.name()}
		if err := o.run(s, r, b); err != nil {
			o.Trouble = err.Error()
		}
		if err := w.write(o); err != nil {
			return err
		}
	}
	return b.leave()
}

func (o *Observation) run(s Scenario, r *rig, b body) error {
	if err := r.enter(s.Place); err != nil {
		return err
	}
	err := b.begin()
	began := time.Now()
	var commands []string // in a row are carried out at once
	for i, st := range s.Steps {
		if err != nil {
			break
		}
		var seen Seen
		if st.Command != "" {
			commands = append(commands, st.Command)
			if i+1 == len(s.Steps) || s.Steps[i+1].Command == "" {
				err = b.command(commands)
				commands = nil
			}
		} else {
			seen, err = r.step(st, b)
		}
		if err != nil {
			err = fmt.Errorf("line %d: %w", st.Line, err)
		}
		seen.At = time.Since(began)
		o.Steps = append(o.Steps, seen)
	}
	return errors.Join(err, b.clear(), r.leave())
}

func (r *rig) step(st Step, b body) (seen Seen, err error) {
	switch {
	case st.Wait > 0:
		time.Sleep(st.Wait)
		return seen, nil
	case st.Link != "":
		r.odd = append(r.odd, st.Link)
		if err := r.director.MTU("to-"+st.Link, st.MTU); err != nil {
			return seen, err
		}
		return seen, b.moved()
	case st.Sysctl != "":
		return seen, b.sysctl(st.Sysctl, st.Value)
	case st.Mark != nil:
		return seen, b.mark(*st.Mark)
	case st.Stats:
		time.Sleep(r.settle)
		seen.Counters, err = b.counters()
		return seen, err
	case st.Look:
		if seen.Connections, err = b.connections(); err != nil {
			return seen, err
		}
		seen.Destinations, err = b.destinations()
		return seen, err
	}
	for _, pkt := range st.Packets {
		frames, err := r.send(pkt)
		if err != nil {
			return seen, err
		}
		seen.Frames = append(seen.Frames, frames...)
	}
	return seen, nil
}
