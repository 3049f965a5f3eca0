package ebpf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

var _ dataplane.Explainer = (*Plane)(nil)

// explainDoor is the tc door with its steps written down and its hands tied.
var explainDoor = door{object: loadEngine, explaining: true, programs: []string{progIngress}}

// Explain implements dataplane.Explainer. It loads a second copy of the
// program over the same maps, so what it tells is what the live table holds.
func (p *Plane) Explain(_ context.Context, q lvs.Probe) (lvs.Explanation, error) {
	p.mu.Lock()
	link, err := p.arrival(q)
	p.mu.Unlock()
	if err != nil {
		return lvs.Explanation{}, err
	}
	packet, err := probePacket(q, link.MAC)
	if err != nil {
		return lvs.Explanation{}, err
	}
	coll, err := p.engine.open(explainDoor)
	if err != nil {
		return lvs.Explanation{}, err
	}
	defer coll.Close()
	// Loading takes a second. What runs and is read together is the rest.
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.engine.maps["traces"].Put(uint32(0), engineTraceLog{}); err != nil {
		return lvs.Explanation{}, fmt.Errorf("clear the trace: %w", err)
	}
	opts := ebpf.RunOptions{Data: packet, DataOut: make([]byte, len(packet)+256), Context: skb(link.Index)}
	if _, err := coll.Programs[progIngress].Run(&opts); err != nil {
		return lvs.Explanation{}, fmt.Errorf("run the packet engine: %w", err)
	}
	var log engineTraceLog
	if err := p.engine.maps["traces"].Lookup(uint32(0), &log); err != nil {
		return lvs.Explanation{}, fmt.Errorf("read the trace: %w", err)
	}
	return p.tell(q, log)
}

// arrival is the interface the packet arrives on.
func (p *Plane) arrival(q lvs.Probe) (lvs.Link, error) {
	for _, l := range p.links {
		if q.Interface == "" || q.Interface == l.Name {
			return l, nil
		}
	}
	if q.Interface != "" {
		return lvs.Link{}, fmt.Errorf("interface %s is not attached; `weir status` lists those that are", q.Interface)
	}
	return lvs.Link{}, errors.New("no interface is attached, so no packet would be balanced")
}

// skb is the start of struct __sk_buff with the interface in it.
func skb(ifindex int) []byte {
	b := make([]byte, 192)
	binary.NativeEndian.PutUint32(b[40:], uint32(ifindex))
	return b
}

// tell puts the engine's steps into words.
func (p *Plane) tell(q lvs.Probe, log engineTraceLog) (lvs.Explanation, error) {
	var e lvs.Explanation
	dests, err := p.readDests()
	if err != nil {
		return e, err
	}
	t := teller{p: p, q: q, dests: dests}
	for _, s := range log.Step[:min(log.Used, uint32(len(log.Step)))] {
		if s.Step == engineStepSTEP_VERDICT {
			v := verdictNames[s.A]
			e.Verdict, e.Fate, e.Drop, e.Help = v.Name, v.Fate, v.Drop, v.Help
			continue
		}
		if step := t.step(s.Step, s.A, s.B); step.What != "" {
			e.Steps = append(e.Steps, step)
		}
	}
	return e, nil
}

// A teller knows what the numbers in a trace stand for.
type teller struct {
	p     *Plane
	q     lvs.Probe
	dests map[uint32]engineDest
}

func (t teller) dest(id uint32) string { return t.dests[id].key().addr.String() }

func (t teller) service(id uint32) string {
	for k, e := range t.p.table.services.All() {
		if e.id == id {
			return fmt.Sprintf("%s -s %s", k, e.svc.Scheduler)
		}
	}
	return fmt.Sprintf("service %d", id)
}

func (t teller) step(s engineStep, a, b uint32) lvs.Step {
	switch s {
	case engineStepSTEP_PARSED:
		return t.parsed()
	case engineStepSTEP_FILTERED:
		return lvs.Step{What: "passes the filter", Why: "neither address is a service's or a real server's"}
	case engineStepSTEP_CONNECTION:
		return lvs.Step{What: "belongs to a known connection", Why: fmt.Sprintf("with %s, state %s", t.dest(a), t.state(b&0xff))}
	case engineStepSTEP_NO_CONNECTION:
		return lvs.Step{What: "belongs to no known connection"}
	case engineStepSTEP_REUSED:
		return lvs.Step{What: "begins the connection anew", Why: fmt.Sprintf("the old one is in state %s", t.state(a))}
	case engineStepSTEP_SERVICE:
		return lvs.Step{What: "is for " + t.service(a)}
	case engineStepSTEP_NO_SERVICE:
		if !t.q.Protocol.HasPorts() {
			return lvs.Step{What: "is for no service", Why: "none is for " + t.q.Protocol.String()}
		}
		return lvs.Step{What: "is for no service", Why: "none has this address, port and protocol"}
	case engineStepSTEP_CONSIDERED:
		return lvs.Step{What: "considers " + t.dest(a), Why: fmt.Sprintf("weight %d, %d active", b>>16, b&0xffff)}
	case engineStepSTEP_TEMPLATE:
		return lvs.Step{What: "goes where the client went before", Why: "its persistence template leads to " + t.dest(a)}
	case engineStepSTEP_CHOSEN:
		return lvs.Step{What: "chooses " + t.dest(a), Why: "by " + string(lvsScheduler(engineScheduler(b)))}
	case engineStepSTEP_NONE_LEFT:
		return lvs.Step{What: "finds no real server", Why: "all have weight 0 or are full, or there are none"}
	}
	return t.lateStep(s, a, b)
}

func (t teller) parsed() lvs.Step {
	if t.q.Protocol.HasPorts() {
		return lvs.Step{What: fmt.Sprintf("%s from %s to %s", t.q.Protocol, t.q.From, t.q.To)}
	}
	return lvs.Step{What: fmt.Sprintf("%s from %s to %s", t.q.Protocol, t.q.From.Addr(), t.q.To.Addr()),
		Why: "it belongs to the connection of UDP port 500 between the two, if there is one"}
}

func (t teller) lateStep(s engineStep, a, b uint32) lvs.Step {
	switch s {
	case engineStepSTEP_STATE:
		if a == b {
			return lvs.Step{What: "stays in state " + t.state(a)}
		}
		return lvs.Step{What: "moves on to state " + t.state(b), Why: "from " + t.state(a)}
	case engineStepSTEP_FORWARD:
		return lvs.Step{What: "goes to " + t.dest(a), Why: t.method(a, b)}
	case engineStepSTEP_NEXTHOP:
		return t.hop(a, b)
	case engineStepSTEP_REPLY:
		return lvs.Step{What: "is an answer of " + t.dest(a), Why: "its source becomes the service's address"}
	case engineStepSTEP_ANSWER:
		return lvs.Step{What: "is answered with ICMP", Why: []string{"port unreachable", "time exceeded", fmt.Sprintf("too big, MTU %d", b), "host unreachable"}[min(a, 3)]}
	}
	return lvs.Step{}
}

func (t teller) method(dest, forward uint32) string {
	switch lvs.Forwarding(forward) {
	case lvs.Masquerade:
		return "by masq: its destination is rewritten"
	case lvs.Tunnel:
		return fmt.Sprintf("by %s: it is wrapped in another IP packet", lvsDestination(t.dests[dest], 0).Encap.Type)
	}
	return "by gate: only its link address changes"
}

func (t teller) hop(ifindex, flags uint32) lvs.Step {
	if ifindex == 0 && flags&nexthopFailed != 0 {
		return lvs.Step{What: "cannot be sent to the real server", Why: lvs.NoRoute}
	}
	if ifindex == 0 {
		return lvs.Step{What: "asks the kernel for the way", Why: "no path to the real server is known yet"}
	}
	step := lvs.Step{What: fmt.Sprintf("leaves by interface %d", ifindex)}
	if i, err := net.InterfaceByIndex(int(ifindex)); err == nil {
		step.What = "leaves by " + i.Name
	}
	if flags&nexthopFailed != 0 {
		step.What = strings.Replace(step.What, "leaves", "would leave", 1)
		step.Why = lvs.NoNeighbour
	} else if flags&nexthopResolved == 0 {
		step.Why = "the next hop's link address is not known yet; the kernel will ask for it"
	}
	return step
}

func (t teller) state(n uint32) string {
	if n == stateUDP {
		return "UDP"
	}
	return lvs.ConnState(n).Name(t.q.Protocol)
}
