package memory

import (
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// TCP's states, as short as the table wants them.
const (
	no = lvs.ConnState(iota)
	es
	ss
	sr
	fw
	tw
	cl
	cw
	la
	li
	sa
)

// states is ip_vs_proto_tcp's table: who spoke (client, real server, client of
// a server never heard), SYN FIN ACK RST, state.
var states = [3][4][11]lvs.ConnState{
	{
		{sr, es, es, sr, sr, sr, sr, sr, sr, sr, sr},
		{cl, cw, ss, tw, tw, tw, cl, cw, la, li, tw},
		{es, es, ss, es, fw, tw, cl, cw, cl, li, es},
		{cl, cl, cl, sr, cl, cl, cl, cl, la, li, sr},
	}, {
		{ss, es, ss, sr, ss, ss, ss, ss, ss, li, sr},
		{tw, fw, ss, tw, fw, tw, cl, tw, la, li, tw},
		{es, es, ss, es, fw, tw, cl, cw, la, es, es},
		{cl, cl, ss, cl, cl, tw, cl, cl, cl, cl, cl},
	}, {
		{sr, es, es, sr, sr, sr, sr, sr, sr, sr, sr},
		{cl, fw, ss, tw, fw, tw, cl, cw, la, li, tw},
		{es, es, ss, es, fw, tw, cl, cw, cl, li, es},
		{cl, cl, cl, sr, cl, cl, cl, cl, la, li, cl},
	},
}

// next is the state a packet leads to.
func next(p Packet, out, silent bool, from lvs.ConnState) lvs.ConnState {
	who, event := 0, -1
	switch {
	case out:
		who = 1
	case silent:
		who = 2
	}
	switch p.Protocol {
	case lvs.UDP:
		return from
	case lvs.SCTP:
		e, ok := sctpEvent(p)
		if !ok {
			return from
		}
		return sctpStates[who][from][e]
	}
	for i, on := range []bool{p.RST, p.SYN, p.FIN, p.ACK} {
		if on {
			event = []int{3, 0, 1, 2}[i]
			break
		}
	}
	if event < 0 {
		return cl
	}
	return states[who][event][from]
}

// fixed are the timeouts nobody can set, in seconds, by state.
var fixed = [11]time.Duration{no: 2, ss: 120, sr: 60, tw: 120, cl: 10, cw: 60, la: 30, li: 120, sa: 120}

func (m *Model) timeout(p lvs.Protocol, s lvs.ConnState) time.Duration {
	t := m.Tuning().Timeouts
	switch {
	case p == lvs.SCTP:
		return sctpTimeout(s)
	case p == lvs.UDP:
		return t.UDP
	case s == es:
		return t.TCP
	case s == fw:
		return t.TCPFin
	}
	return fixed[s] * time.Second
}
