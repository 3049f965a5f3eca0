/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The fates of a packet. Each has a counter, and a line in docs/packet.md that
 * says what an operator should think when it rises.
 */
#pragma once

enum verdict {
	V_NONE = 0,
	/* Not ours: the packet goes on as if weir were not there. */
	V_NOT_OURS = 1,	       /* not IP, or neither address is of interest */
	V_MALFORMED = 2,       /* headers that are broken or do not fit the packet; the stack decides */
	V_NO_SERVICE = 3,      /* to a service's address, but no service and no connection */
	V_NOT_OPENING = 4,     /* to a service, no connection, and not one that may open one */
	V_DEFERRED = 5,	       /* XDP leaves the packet to the tc program, untouched */
	/* Ours. */
	V_FORWARDED = 6,       /* request, sent to a real server */
	V_LOCAL = 7,	       /* request, given to the director's own stack */
	V_REPLIED = 8,	       /* answer of a real server, sent to the client */
	V_REPLIED_LOCAL = 9,   /* answer of the director itself */
	V_ICMP_FORWARDED = 10, /* ICMP error, carried to the party it belongs to */
	/* Dropped with an ICMP answer. */
	V_NO_DESTINATION = 11, /* port unreachable: nobody may take a new connection */
	V_TTL_EXCEEDED = 12,
	V_TOO_BIG = 13,
	/* Dropped silently. */
	V_DEST_GONE = 14,      /* the connection's destination was removed */
	V_TABLE_FULL = 15,     /* no room for a new connection */
	V_NO_ROUTE = 16,       /* no way to the destination or back to the client */
	V_FORWARDING_OFF = 17, /* answers cannot be routed: net.*.forwarding is 0 */
	V_FRAGMENT_LOST = 18,  /* a later fragment before its first */
	V_LOOPBACK = 19,       /* masquerading to 127/8 or ::1 for another host */
	V_ICMP_LIMITED = 20,   /* would have been answered, but too many were */
	V_HELPER = 21,	       /* the kernel refused to change the packet */
	V_THROTTLED = 22,      /* drop_packet: too much is asked for */
	V_NO_CALL_ID = 23,     /* SIP's engine found no Call-ID to go by */
	V_BYPASSED = 24,       /* cache_bypass: nobody serves the mark, so it goes where it was sent */
	V_STRAY = 25,	       /* nat_icmp_send: a real server's packet that belongs to nothing */
	V_TUNNEL_ERROR = 26,   /* ICMP error about a tunnel, taken note of */
	V_UNREACHABLE = 27,    /* answered: no way to the real server, or its neighbour does not answer */
	V_COUNT = 28,
};
