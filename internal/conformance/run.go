package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// Observe runs every scenario on every body and writes an Observation for
// each, one JSON value in a line. It is what happens inside the guest.
func Observe(all []Scenario, to io.Writer) error {
	enc := json.NewEncoder(to)
	for _, b := range []body{&ipvs{}, &engine{mode: ebpf.TC}, &engine{mode: ebpf.XDP}} {
		if err := observeAll(all, b, enc); err != nil {
			return fmt.Errorf("%s: %w", b.name(), err)
		}
	}
	return nil
}

func observeAll(all []Scenario, b body, enc *json.Encoder) error {
	r, err := newRig()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := b.enter(r); err != nil {
		return err
	}
	for _, s := range all {
		o := Observation{Scenario: s.Name, Body: b.name()}
		if err := o.run(s, r, b); err != nil {
			o.Trouble = err.Error()
		}
		if err := enc.Encode(o); err != nil {
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
	for _, st := range s.Steps {
		if err != nil {
			break
		}
		var seen Seen
		if seen, err = r.step(st, b); err != nil {
			err = fmt.Errorf("line %d: %w", st.Line, err)
		}
		o.Steps = append(o.Steps, seen)
	}
	return errors.Join(err, b.clear(), r.leave())
}

func (r *rig) step(st Step, b body) (seen Seen, err error) {
	switch {
	case st.Command != nil:
		return seen, b.command(st.Command)
	case st.Wait > 0:
		time.Sleep(st.Wait)
		return seen, nil
	case st.Link != "":
		r.odd = append(r.odd, st.Link)
		if err := r.director.MTU("to-"+st.Link, st.MTU); err != nil {
			return seen, err
		}
		return seen, b.moved()
	case st.Stats:
		// The kernel shows what its estimator saw up to two seconds ago. Both
		// wait, so that their timers can be compared afterwards.
		time.Sleep(2200 * time.Millisecond)
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
