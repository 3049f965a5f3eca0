package memory

import (
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// The states of SCTP the model speaks of.
const (
	sctpEstablished = lvs.ConnState(8)
	sctpClosed      = lvs.ConnState(13)
)

// The events of SCTP, columns of its table.
const (
	data = iota
	initiate
	initiateAck
	cookieEcho
	cookieAck
	shutdown
	shutdownAck
	shutdownComplete
	failure
	abort
)

// chunks are the events by the type of a packet's first chunk (RFC 9260);
// others count as data.
var chunks = map[uint8]int{1: initiate, 2: initiateAck, 6: abort, 7: shutdown, 8: shutdownAck, 9: failure, 10: cookieEcho,
	11: cookieAck, 14: shutdownComplete}

// sctpStates is ip_vs_proto_sctp's table: who spoke, as in states; state;
// event.
var sctpStates = [3][14][10]lvs.ConnState{
	{
		{8, 1, 5, 4, 8, 10, 13, 13, 13, 13},
		{1, 2, 5, 2, 1, 1, 2, 13, 1, 13},
		{2, 2, 5, 2, 2, 2, 2, 13, 2, 13},
		{3, 3, 3, 4, 3, 3, 3, 3, 3, 13},
		{4, 4, 4, 4, 4, 4, 4, 4, 4, 13},
		{5, 5, 6, 5, 5, 5, 5, 5, 5, 12},
		{6, 6, 6, 6, 6, 6, 6, 6, 6, 13},
		{7, 7, 7, 7, 8, 7, 7, 7, 13, 13},
		{8, 8, 8, 8, 8, 10, 8, 8, 8, 13},
		{9, 9, 9, 9, 9, 9, 13, 9, 9, 13},
		{10, 10, 10, 10, 10, 10, 10, 10, 10, 13},
		{11, 11, 11, 11, 11, 11, 13, 13, 11, 13},
		{12, 2, 12, 12, 12, 12, 12, 12, 12, 13},
		{13, 2, 13, 13, 13, 13, 13, 13, 13, 13},
	},
	{
		{8, 5, 3, 7, 8, 9, 11, 13, 13, 13},
		{1, 5, 3, 7, 8, 9, 11, 1, 13, 12},
		{2, 5, 3, 7, 8, 9, 11, 2, 13, 13},
		{3, 5, 3, 7, 8, 9, 11, 3, 13, 13},
		{4, 5, 4, 7, 8, 9, 11, 4, 13, 13},
		{5, 5, 5, 7, 8, 9, 5, 5, 5, 13},
		{6, 5, 6, 7, 8, 9, 6, 6, 6, 13},
		{7, 5, 7, 7, 8, 9, 7, 7, 7, 13},
		{8, 8, 8, 8, 8, 9, 8, 8, 8, 13},
		{9, 5, 9, 9, 9, 9, 11, 9, 9, 13},
		{10, 5, 10, 10, 10, 10, 11, 10, 10, 13},
		{11, 5, 11, 11, 11, 11, 11, 11, 11, 13},
		{12, 5, 12, 12, 12, 12, 12, 12, 12, 13},
		{13, 5, 13, 13, 13, 13, 13, 13, 13, 13},
	},
	{
		{8, 1, 7, 8, 8, 10, 13, 13, 13, 13},
		{1, 2, 7, 8, 1, 1, 2, 13, 1, 13},
		{2, 2, 7, 8, 2, 2, 2, 13, 2, 13},
		{3, 2, 7, 8, 8, 3, 3, 13, 3, 13},
		{4, 2, 7, 8, 8, 4, 4, 13, 4, 13},
		{8, 2, 7, 8, 5, 5, 5, 5, 5, 12},
		{6, 6, 6, 6, 8, 6, 6, 6, 6, 13},
		{7, 7, 7, 7, 8, 7, 7, 7, 7, 13},
		{8, 8, 8, 8, 8, 10, 13, 8, 8, 13},
		{9, 9, 9, 9, 9, 9, 13, 9, 9, 13},
		{10, 10, 10, 10, 10, 10, 10, 13, 10, 13},
		{11, 11, 11, 11, 11, 11, 13, 13, 11, 13},
		{12, 2, 12, 12, 12, 12, 12, 12, 12, 13},
		{13, 2, 13, 13, 13, 13, 13, 13, 13, 13},
	},
}

// sctpEvent is what a packet means; false: nothing can be read of it.
func sctpEvent(p Packet) (int, bool) {
	if len(p.Chunks) == 0 {
		return 0, false
	}
	e := chunks[p.Chunks[0]]
	if (e == cookieEcho || e == cookieAck) && len(p.Chunks) > 1 && chunks[p.Chunks[1]] == abort {
		return abort, true
	}
	return e, true
}

// sctpTimeout is a state's; they cannot be set.
func sctpTimeout(s lvs.ConnState) time.Duration {
	switch s {
	case 0:
		return 2 * time.Second
	case 1, 12: // INIT1, REJECTED
		return 4 * time.Second
	case sctpEstablished:
		return 900 * time.Second
	}
	return 61 * time.Second
}
