/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The way back to a client is asked of the kernel's routing table, and the
 * answer costs as much as all the rest of a packet. So each processor remembers
 * what it was told, for one tick (16.8 ms) and no longer: a changed route or
 * neighbour is noticed within that time without anybody having to say so.
 *
 * An answer depends on nothing that is not compared here: the question has
 * neither ports nor a mark in it.
 */
#pragma once

#include "conn.h"
#include "send.h"

struct known_way {
	struct addr from;
	struct addr to;
	__u32 tick; /* when the kernel said so; 0: never */
	__u32 in;   /* where the packet came from */
	__u8 protocol;
	bool xdp_sends; /* the interface takes packets sent from XDP */
	__u16 pad;
	struct way way;
};

_Static_assert(sizeof(struct known_way) == 80, "known_way");

#define KNOWN_WAYS 4096 /* on each processor; a power of two */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KNOWN_WAYS);
	__type(key, __u32);
	__type(value, struct known_way);
} known_ways SEC(".maps");

static __always_inline struct known_way *way_place(const struct addr *to)
{
	__u32 place = ((to->w[0] ^ to->w[1] ^ to->w[2] ^ to->w[3]) * 0x9e3779b1u) >> 20;

	return bpf_map_lookup_elem(&known_ways, &place);
}

static __always_inline bool way_is(const struct known_way *k, const struct asked *a, const struct addr *from,
				   const struct addr *to, __u32 now)
{
	return k->tick == now && k->in == ingress_index(a->ctx) && k->protocol == a->protocol &&
	       same_addr(&k->to, to) && same_addr(&k->from, from);
}

/* Asks anew, into k. The addresses are asked for where they are kept: the
 * stack has little room. */
static __always_inline bool way_ask(struct known_way *k, const struct asked *a, const struct addr *from,
				    const struct addr *to, __u32 now)
{
	k->tick = 0;
	k->from = *from;
	k->to = *to;
	if (ask_way(a, &k->from, &k->to, &k->way) || !k->way.neigh || !k->way.mtu)
		return false;
	k->tick = now;
	k->in = ingress_index(a->ctx);
	k->protocol = a->protocol;
	k->xdp_sends = xdp_sends(k->way.ifindex);
	return true;
}

/* The way to a client, remembered or asked for; NULL if there is none that
 * can be gone at once. */
static __always_inline struct known_way *way_back(const struct asked *a, const struct addr *from,
						  const struct addr *to, __u32 now)
{
	struct known_way *k = way_place(to);

	return k && (way_is(k, a, from, to, now) || way_ask(k, a, from, to, now)) ? k : NULL;
}
