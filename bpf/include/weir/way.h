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
	__u32 tick; /* when the kernel said so */
	__u32 in;   /* where the packet came from */
	__u32 ifindex;
	__u16 mtu;
	__u8 protocol;
	bool xdp_sends; /* the interface takes packets sent from XDP */
	__u8 dmac[ETH_ALEN];
	__u8 smac[ETH_ALEN];
	__u32 pad;
};

_Static_assert(sizeof(struct known_way) == 64, "a known way is one cache line");

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

/* The way to a client, remembered or asked for; NULL if there is none that
 * can be gone at once. */
static __always_inline struct known_way *way_back(const struct asked *a, const struct addr *from,
						  const struct addr *to, __u32 now)
{
	struct known_way *k = way_place(to);
	struct way w;

	if (!k || way_is(k, a, from, to, now))
		return k;
	if (ask_way(a, from, to, &w) || !w.neigh || !w.mtu)
		return NULL;
	k->from = *from;
	k->to = *to;
	k->tick = now;
	k->in = ingress_index(a->ctx);
	k->ifindex = w.ifindex;
	k->mtu = w.mtu;
	k->protocol = a->protocol;
	k->xdp_sends = xdp_sends(w.ifindex);
	__builtin_memcpy(k->dmac, w.dmac, ETH_ALEN);
	__builtin_memcpy(k->smac, w.smac, ETH_ALEN);
	return k;
}
