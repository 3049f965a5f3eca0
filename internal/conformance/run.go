package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// Observe runs every scenario on every body and writes an Observation for
// each, one JSON value in a line. It is what happens inside the guest.
func Observe(all []Scenario, to io.Writer) error {
	bodies := []body{&ipvs{}, &engine{mode: ebpf.TC}, &engine{mode: ebpf.XDP}}
	enc := json.NewEncoder(to)
	for _, s := range all {
		for _, b := range bodies {
			if err := enc.Encode(observe(s, b)); err != nil {
				return err
			}
		}
	}
	return nil
}

func observe(s Scenario, b body) (o Observation) {
	o = Observation{Scenario: s.Name, Body: b.name()}
	r, err := newRig(s.Place)
	if err != nil {
		o.Trouble = err.Error()
		return o
	}
	defer func() {
		if err := r.Close(); err != nil && o.Trouble == "" {
			o.Trouble = err.Error()
		}
	}()
	if err := b.enter(r); err != nil {
		o.Trouble = err.Error()
		return o
	}
	for _, st := range s.Steps {
		seen, err := r.step(st, b)
		if err != nil {
			o.Trouble = fmt.Sprintf("line %d: %v", st.Line, err)
			break
		}
		o.Steps = append(o.Steps, seen)
	}
	if err := b.leave(); err != nil && o.Trouble == "" {
		o.Trouble = err.Error()
	}
	return o
}

func (r *rig) step(st Step, b body) (seen Seen, err error) {
	switch {
	case st.Command != nil:
		return seen, b.command(st.Command)
	case st.Wait > 0:
		time.Sleep(st.Wait)
		return seen, nil
	case st.Link != "":
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
