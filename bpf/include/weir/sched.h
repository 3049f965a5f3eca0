/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Choosing a destination for a new connection: the sequences of the kernel's
 * IPVS, pick for pick. internal/sched is the reference model the packet tests
 * compare with.
 *
 * Go writes a set's slots in list order and where its round starts; what a
 * packet decides depends only on live counts and on the cursor, which moves
 * by compare-and-swap so that two CPUs do not take the same turn.
 */
#pragma once

#include "conn.h"
#include "trace.h"

struct pick {
	struct set *set;
	__u32 pos;	/* slot looked at */
	__u32 cw;	/* wrr: current weight */
	__u32 wraps;	/* wrr: how often the round began again */
	__u32 dest;	/* answer; 0: none */
	__u32 at;	/* its position */
	__u32 weight;	/* lc, wlc: of the candidate */
	__u64 load;	/* lc, wlc: of the candidate */
};

/* Beyond this many destinations, or turns without a match, a search gives up. */
#define MAX_WALK 65536

static __always_inline struct slot *slot_at(const struct set *s, __u32 pos)
{
	__u32 i = s->first + pos;

	return bpf_map_lookup_elem(&slots, &i);
}

static __always_inline bool overloaded(__u32 dest)
{
	struct overload *o = bpf_map_lookup_elem(&overloads, &dest);

	return !o || READ_ONCE(o->on);
}

static __always_inline __u64 conns_of(__u32 dest)
{
	struct live *l = bpf_map_lookup_elem(&lives, &dest);

	return l ? READ_ONCE(l->conns) : 0;
}

/* rr: the first usable entry after the one used last. */
static long rr_turn(__u32 i, struct pick *k)
{
	struct slot *s;

	k->pos = k->pos + 1 >= k->set->count ? 0 : k->pos + 1;
	s = slot_at(k->set, k->pos);
	if (!s || !s->weight || overloaded(s->dest))
		return 0;
	k->dest = s->dest;
	k->at = k->pos;
	return 1;
}

/* wrr: walk on; at the end of the list the current weight sinks by the common
 * divisor; the first entry that weighs as much is taken. */
static long wrr_turn(__u32 i, struct pick *k)
{
	struct slot *s;

	if (k->wraps > 2)
		return 1; /* a whole round, and all were overloaded */
	if (++k->pos >= k->set->count) {
		k->pos = 0;
		if (k->cw <= k->set->di) {
			k->cw = k->set->mw;
			k->wraps++;
		} else {
			k->cw -= k->set->di;
		}
	}
	s = slot_at(k->set, k->pos);
	if (!s || s->weight < k->cw || overloaded(s->dest))
		return 0;
	k->dest = s->dest;
	k->at = k->pos;
	return 1;
}

/* lc: fewest of active · 256 + (active + inactive); the first met wins a tie. */
static long lc_turn(__u32 i, struct pick *k)
{
	struct slot *s = slot_at(k->set, i);
	__u64 conns, load;

	if (!s || !s->weight)
		return 0;
	conns = conns_of(s->dest);
	if (overloaded(s->dest))
		return 0;
	load = (conns >> 32) * 257 + (__u32)conns;
	trace(STEP_CONSIDERED, s->dest, s->weight << 16 | (__u16)(conns >> 32));
	if (k->dest && load >= k->load)
		return 0;
	k->dest = s->dest;
	k->at = i;
	k->load = load;
	return 0;
}

/* wlc: as lc, with load over weight, compared crosswise. */
static long wlc_turn(__u32 i, struct pick *k)
{
	struct slot *s = slot_at(k->set, i);
	__u64 conns, load;

	if (!s || !s->weight)
		return 0;
	conns = conns_of(s->dest);
	if (overloaded(s->dest))
		return 0;
	load = (conns >> 32) * 257 + (__u32)conns;
	trace(STEP_CONSIDERED, s->dest, s->weight << 16 | (__u16)(conns >> 32));
	if (k->dest && k->load * s->weight <= load * k->weight)
		return 0;
	k->dest = s->dest;
	k->at = i;
	k->load = load;
	k->weight = s->weight;
	return 0;
}

/* One round from the cursor; false if another CPU moved it meanwhile. */
static __always_inline bool take_turn(struct set *set, struct pick *k)
{
	__u64 old = READ_ONCE(set->cursor), now;

	k->set = set;
	k->dest = 0;
	k->wraps = hidden(0, old);
	k->pos = (__u32)old;
	k->cw = old >> 32;
	if (set->scheduler == SCHED_WRR) {
		if (!set->mw)
			return true;
		bpf_loop(MAX_WALK, wrr_turn, k, 0);
	} else {
		bpf_loop(set->count, rr_turn, k, 0);
	}
	if (!k->dest || explaining)
		return true;
	now = k->at | (set->scheduler == SCHED_WRR ? (__u64)k->cw << 32 : 0);
	return __sync_val_compare_and_swap(&set->cursor, old, now) == old;
}

/* The destination for a new connection, or 0. */
__noinline __u32 schedule(__u32 set_id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &set_id);
	struct pick k = {};

	if (!set || !set->count)
		return 0;
	k.set = set;
	k.dest = hidden(0, set->count);
	k.load = hidden(0, set->count);
	k.weight = hidden(0, set->count);
	switch (set->scheduler) {
	case SCHED_LC:
		bpf_loop(set->count, lc_turn, &k, 0);
		break;
	case SCHED_WLC:
		bpf_loop(set->count, wlc_turn, &k, 0);
		break;
	default:
		/* Losing the race four times in a row: take the turn all the same. */
		for (int i = 0; i < 4; i++)
			if (take_turn(set, &k))
				break;
	}
	if (k.dest)
		trace(STEP_CHOSEN, k.dest, set->scheduler);
	return k.dest;
}
