/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What crosses between the unwrapping of tunnels and Go: its counters and the
 * keys of its maps. Addresses are struct addr, as everywhere.
 */
#pragma once

#include "../weir/types.h"

/* What became of a packet that looked like one of our tunnels. Each has a
 * counter and a row in docs/realserver.md. */
enum fate {
	F_NONE = 0,	   /* no tunnel of ours; not counted */
	F_UNWRAPPED = 1,   /* the inner packet went to the stack */
	F_FOREIGN = 2,	   /* left alone: from a sender that is not allowed */
	F_FRAGMENT = 3,	   /* left alone: a part of a fragmented tunnel packet */
	F_MALFORMED = 4,   /* left alone: headers that do not fit the packet */
	F_UNKNOWN = 5,	   /* left alone: options of the tunnel nobody agreed on */
	F_OTHER = 6,	   /* left alone: the inner packet is for no address of ours */
	F_CONGESTED = 7,   /* dropped: congestion met, and the sender cannot be told */
	F_FAILED = 8,	   /* dropped: the kernel refused to change the packet */
	F_COUNT = 9,
};

/* Who may send tunnel packets here: prefixes, IPv4 as 96 bits and more. */
struct peer_key {
	__u32 bits;
	struct addr addr;
};

/* What is unwrapped at all. */
struct take {
	__u8 ipip, gre;
	__be16 gue; /* UDP port; 0: none */
	__u32 any_peer; /* `peers` is not asked */
};

_Static_assert(sizeof(struct take) == 8, "take");
_Static_assert(sizeof(struct peer_key) == 20, "peer_key");
