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
#include "sched_cache.h"
#include "sched_hash.h"
#include "trace.h"

struct pick {
	struct set *set;
	__u32 pos;	/* slot looked at */
	__u32 cw;	/* wrr: current weight */
	__u32 wraps;	/* wrr: how often the round began again */
	__u32 dest;	/* answer; 0: none */
	__u32 at;	/* its position */
	__u32 weight;	/* fo, ovf: of the candidate */
};

/* Beyond this many destinations, or turns without a match, a search gives up. */
#define MAX_WALK 65536

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
	if (!s || !usable(s))
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
	if (!s || s->weight < k->cw || !usable(s))
		return 0;
	k->dest = s->dest;
	k->at = k->pos;
	return 1;
}

/*
 * In a long list not everybody is looked at for each new connection: who is the
 * best of 32 neighbours is remembered until a count of one of them changes. A
 * connection changes one count, so the next one looks through one group, and
 * compares the best of all others.
 */

/* A turn looks at several: entering it costs as much as looking at one. */
#define AT_ONCE 8

struct candidate {
	__u64 load;
	__u32 weight;
	__u32 dest; /* 0: none */
	__u32 at;   /* its position */
	__u32 pad;
};

struct search {
	struct set *set;
	__u32 pos;     /* the next to be looked at */
	__u32 version; /* of the group that is looked through */
	__u64 grouped;
	struct candidate group; /* the best of the present group … */
	struct candidate best;	/* … and of those before */
};

/* Compared crosswise. The first met wins a tie. */
static __always_inline void compare(struct candidate *best, const struct candidate *other)
{
	if (other->dest && (!best->dest || best->load * other->weight > other->load * best->weight))
		*best = *other;
}

/*
 * The least loaded for its weight:
 *   lc    fewest of active · 256 + (active + inactive)
 *   wlc   the same over the weight
 *   sed   active + 1 over the weight
 *   nq    the same, but whoever has no active connection has no load at all
 */
static __always_inline void consider(struct search *k, __u32 at)
{
	enum scheduler how = k->set->scheduler;
	struct slot *s = slot_at(k->set, at);
	struct candidate c = {.at = at};
	__u64 conns, active;

	if (!s || !usable(s))
		return;
	conns = conns_of(s->dest);
	active = conns >> 32;
	if (unlikely(explaining))
		trace(STEP_CONSIDERED, s->dest, (__u32)s->weight << 16 | (__u16)active);
	c.dest = s->dest;
	c.weight = how == SCHED_LC ? 1 : s->weight;
	if (how == SCHED_SED || how == SCHED_NQ)
		c.load = how == SCHED_NQ && !active ? 0 : active + 1;
	else
		c.load = active * 257 + (__u32)conns;
	compare(&k->group, &c);
}

/* The best of the group that begins here, if nothing has changed since it was
 * looked through. */
static __always_inline bool remembered(struct search *k)
{
	__u32 at = FIRST_GROUP(k->set->first) + k->pos / GROUP;
	struct group *g = bpf_map_lookup_elem(&groups, &at);
	__u64 best;

	if (!g)
		return false;
	/* Before the counts are read: what changes meanwhile is seen the next time. */
	k->version = READ_ONCE(g->version);
	best = READ_ONCE(g->best);
	if (!(__u32)best || best >> 32 != k->version)
		return false;
	if ((__u32)best != GROUP_NOBODY)
		consider(k, (__u32)best - 1);
	return true;
}

/* The group that was just looked through, to its end or to one without a load. */
static __always_inline void remember(const struct search *k)
{
	__u32 at = FIRST_GROUP(k->set->first) + (k->pos - 1) / GROUP;
	struct group *g = bpf_map_lookup_elem(&groups, &at);

	if (g)
		WRITE_ONCE(g->best, (__u64)k->version << 32 | (k->group.dest ? k->group.at + 1 : GROUP_NOBODY));
}

/* Who has no load cannot be beaten. */
static __always_inline bool idle(const struct candidate *c)
{
	return c->dest && !c->load;
}

static __always_inline bool group_ends(const struct search *k)
{
	return k->grouped && !(k->pos % GROUP);
}

/* A group whose best is known, or a few of the list. */
static long least_turn(__u32 i, struct search *k)
{
	__u32 count = k->set->count;

	if (group_ends(k)) {
		k->group.dest = 0;
		if (remembered(k)) {
			k->pos += GROUP;
			compare(&k->best, &k->group);
			return k->pos >= count || idle(&k->best);
		}
	}
#pragma unroll
	for (int n = 0; n < AT_ONCE; n++) {
		if (k->pos + n >= count)
			break;
		consider(k, k->pos + n);
	}
	k->pos += AT_ONCE;
	if (k->pos < count && !group_ends(k) && !idle(&k->group))
		return 0;
	if (k->grouped)
		remember(k);
	compare(&k->best, &k->group);
	return k->pos >= count || idle(&k->best);
}

/*
 *   fo    the highest weight
 *   ovf   the highest weight among those whose active connections do not exceed it
 */
static long highest_turn(__u32 i, struct pick *k)
{
	struct slot *s = slot_at(k->set, i);
	__u32 active;

	if (!s || !usable(s))
		return 0;
	active = conns_of(s->dest) >> 32;
	trace(STEP_CONSIDERED, s->dest, (__u32)s->weight << 16 | (__u16)active);
	if (k->set->scheduler == SCHED_OVF && active > s->weight)
		return 0;
	if (!k->dest || s->weight > k->weight) {
		k->dest = s->dest;
		k->weight = s->weight;
	}
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

static __always_inline __u32 highest(struct set *set)
{
	struct pick k = {.set = set};

	k.dest = hidden(0, set->count);
	k.weight = hidden(0, set->count);
	bpf_loop(set->count, highest_turn, &k, 0);
	return k.dest;
}

static __always_inline void no_candidate(struct candidate *c, __u32 any)
{
	c->load = hidden(0, any);
	c->weight = hidden(0, any);
	c->dest = hidden(0, any);
	c->at = hidden(0, any);
	c->pad = 0;
}

static __always_inline __u32 least(struct set *set)
{
	struct search k = {.set = set};
	__u32 any = set->count;

	k.pos = hidden(0, any);
	k.version = hidden(0, any);
	/* `weir explain` tells everybody who was considered. */
	k.grouped = hidden(any > GROUPED && !explaining, any);
	no_candidate(&k.group, any);
	no_candidate(&k.best, any);
	bpf_loop((any + AT_ONCE - 1) / AT_ONCE, least_turn, &k, 0);
	return k.best.dest;
}

static __always_inline __u32 turn(struct set *set)
{
	struct pick k = {};

	/* Losing the race four times in a row: take the turn all the same. */
	for (int i = 0; i < 4; i++)
		if (take_turn(set, &k))
			break;
	return k.dest;
}

/* Two are drawn by lot, heavy ones more often; the one with less to carry for
 * its weight is taken (IPVS.md c.5). */
struct lots {
	struct set *set;
	__u64 total;
	__u64 first, second; /* how far along the weights each is */
	__u32 one, two;
};

static long total_turn(__u32 i, struct lots *l)
{
	struct slot *s = slot_at(l->set, i);

	if (s && usable(s))
		l->total += s->weight;
	return 0;
}

static long draw_turn(__u32 i, struct lots *l)
{
	struct slot *s = slot_at(l->set, i);

	if (!s || !usable(s))
		return 0;
	if (!l->one && l->first <= s->weight)
		l->one = i + 1;
	if (!l->two && l->second <= s->weight)
		l->two = i + 1;
	l->first -= s->weight;
	l->second -= s->weight;
	return l->one && l->two;
}

static __always_inline __u32 twos(struct set *set)
{
	struct lots l = {.set = set};
	struct slot *a, *b;

	l.total = hidden(0, set->count);
	bpf_loop(set->count, total_turn, &l, 0);
	if (!l.total)
		return 0;
	l.first = bpf_get_prandom_u32() % (l.total + 1);
	l.second = bpf_get_prandom_u32() % (l.total + 1);
	l.one = hidden(0, set->count);
	l.two = hidden(0, set->count);
	bpf_loop(set->count, draw_turn, &l, 0);
	a = slot_at(set, l.one - 1);
	b = slot_at(set, l.two - 1);
	if (!l.one || !l.two || !a || !b)
		return 0;
	return b->weight * load_of(a->dest) > a->weight * load_of(b->dest) ? b->dest : a->dest;
}

/* The destination for a new connection, or 0. */
__noinline __u32 schedule(__u32 set_id, const struct hash_key *key)
{
	struct set *set = bpf_map_lookup_elem(&sets, &set_id);
	__u32 dest;

	if (!set || !set->count || !key)
		return 0;
	switch (set->scheduler) {
	case SCHED_RR:
	case SCHED_WRR:
		dest = turn(set);
		break;
	case SCHED_SH:
	case SCHED_DH:
	case SCHED_MH:
		dest = hash_choice(set, key);
		break;
	case SCHED_TWOS:
		dest = twos(set);
		break;
	case SCHED_FO:
	case SCHED_OVF:
		dest = highest(set);
		break;
	default:
		dest = least(set);
	}
	if (dest)
		trace(STEP_CHOSEN, dest, set->scheduler);
	return dest;
}
