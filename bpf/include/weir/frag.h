/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Fragments. The first part of a datagram has the ports and is handled as any
 * packet; what became of it is remembered, and the later parts follow it
 * (tc only; XDP leaves fragments alone). Those of a datagram whose first part was
 * dropped are dropped and counted as it was. A later part that comes before its
 * first one is left to the stack and counted.
 */
#pragma once

#include "conn.h"
#include "tunnel.h"

#define FRAG_TICKS (30ull * 1000000000 >> TICK_SHIFT) /* ipfrag_time: 30 s */

static __always_inline void frag_key_make(const struct packet *p, struct frag_key *k)
{
	__builtin_memset(k, 0, sizeof(*k));
	k->saddr = p->saddr;
	k->daddr = p->daddr;
	k->id = p->frag_id;
	k->protocol = p->protocol;
}

#define FRAG_OUT     1 /* an answer */
#define FRAG_FORWARD 8 /* shift of the forwarding method */
#define FRAG_REFUSED 16 /* shift of the verdict about the first part, if it was dropped */

static __noinline void frag_remember(const struct packet *p, __u32 dest, __u32 how, const struct addr *rewrite_to)
{
	struct frag value = {
		.rewrite = *rewrite_to,
		.dest = dest,
		.expires = ticks_now() + FRAG_TICKS,
		.how = how,
	};
	struct frag_key key;

	if (explaining || joins(p))
		return; /* every part of an AH or ESP packet finds the connection itself */
	frag_key_make(p, &key);
	bpf_map_update_elem(&frags, &key, &value, BPF_ANY);
}

static __always_inline __u32 frag_forward(const struct frag *fr)
{
	return (fr->how >> FRAG_FORWARD) & CTL_FORWARD_MASK;
}

/* A later part of a request. */
static __always_inline int frag_request(struct packet *p, const struct frag *fr, int *action)
{
	__u32 id = fr->dest, hop;
	struct dest *d = bpf_map_lookup_elem(&dests, &id);
	struct nexthop *n;

	if (!d || !(d->flags & DEST_AVAILABLE))
		return V_DEST_GONE;
	hop = d->nexthop;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	count_in(id, p->len);
	if (frag_forward(fr) == FORWARD_MASQ && !rewrite(p, false, &fr->rewrite, 0))
		return V_HELPER;
	if (d->flags & DEST_LOCAL)
		return V_LOCAL;
	if (!n)
		return V_NO_ROUTE;
	if (n->flags & NEXTHOP_FAILED)
		return V_UNREACHABLE;
	if (p->ttl <= 1)
		return V_TTL_EXCEEDED;
	if (frag_forward(fr) == FORWARD_TUNNEL && !tunnel_ready(n))
		return V_NO_ROUTE;
	return hand_over(p, d, n, frag_forward(fr) == FORWARD_TUNNEL, action);
}

/* A later part of an answer. `leaving`: the director's own, already routed. */
static __always_inline int frag_reply(struct packet *p, const struct frag *fr, bool leaving, int *action)
{
	struct dest *d;
	struct way w;
	int v;

	if (!leaving) {
		if (p->ttl <= 1)
			return V_DEFERRED;
		v = find_way(p, frag_forward(fr) == FORWARD_MASQ ? &fr->rewrite : &p->saddr, &p->daddr, &w);
		if (v)
			return v;
	}
	d = bpf_map_lookup_elem(&dests, &fr->dest);
	if (d)
		count_answer(d, fr->dest, p->len);
	if (frag_forward(fr) == FORWARD_MASQ && !rewrite(p, true, &fr->rewrite, 0))
		return V_HELPER;
	if (leaving)
		return V_REPLIED_LOCAL;
	if (!decrement_ttl(p))
		return V_HELPER;
	*action = send_way(p, &w);
	return V_REPLIED;
}

static __noinline int frag_follow(struct packet *p, bool leaving, int *action)
{
	struct frag_key key;
	struct frag *fr, copy;

	frag_key_make(p, &key);
	fr = bpf_map_lookup_elem(&frags, &key);
	if (!fr || (__s32)(fr->expires - ticks_now()) <= 0)
		return V_FRAGMENT_LOST;
	copy = *fr;
	if (copy.how >> FRAG_REFUSED)
		return copy.how >> FRAG_REFUSED;
	if (copy.how & FRAG_OUT)
		return frag_reply(p, &copy, leaving, action);
	return leaving ? V_NOT_OURS : frag_request(p, &copy, action);
}
