/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The schedulers for cache clusters: what a client asks for, the address a
 * packet is for, goes to the real server that had it before, so that each
 * caches a part (IPVS.md c.4). lblc remembers one server for an address, lblcr
 * a set of them, of which the least loaded is taken.
 */
#pragma once

#include "conn.h"
#include "sched_hash.h"

#define CACHE_SET 16

struct cache_key {
	__u64 addr; /* mixed from the address asked for */
	__u32 service;
	__u32 pad;
};

/* The servers of an address, the one that came last at the end. */
struct cache_set {
	__u32 used;    /* when it was asked for, in seconds */
	__u32 changed; /* when the set was, in seconds */
	__u32 count;
	__u32 dest[CACHE_SET];
	__u32 pad;
};

/* IPVS keeps some 24,000 for a service and throws idle ones away; here the one
 * asked for least recently gives way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct cache_key);
	__type(value, struct cache_set);
} caches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cache_set);
} cache_scratch SEC(".maps");

/* Is there room for what a server has too much of? */
struct spare {
	struct set *set;
	bool found;
};

static long spare_turn(__u32 i, struct spare *s)
{
	struct slot *slot = slot_at(s->set, i);
	struct live *l;
	__u32 id;

	if (!slot)
		return 0;
	id = slot->dest;
	l = bpf_map_lookup_elem(&lives, &id);
	s->found = l && 2 * (READ_ONCE(l->conns) >> 32) < slot->weight;
	return s->found;
}

/* More active connections than its weight, while another is less than half full. */
static __always_inline bool too_busy(struct set *set, const struct dest *d, __u32 id)
{
	struct spare s = {.set = set};
	struct live *l = bpf_map_lookup_elem(&lives, &id);

	if (!l || (READ_ONCE(l->conns) >> 32) <= d->weight)
		return false;
	s.found = hidden(0, d->weight);
	bpf_loop(set->count, spare_turn, &s, 0);
	return s.found;
}

static __always_inline __u64 load_of(__u32 id)
{
	struct live *l = bpf_map_lookup_elem(&lives, &id);
	__u64 conns = l ? READ_ONCE(l->conns) : 0;

	return (conns >> 32) * 257 + (__u32)conns;
}

/* The least or the most loaded of a set of the service, by weight; of the
 * least the usable ones count. Returns its place + 1. */
__noinline __u32 cache_extreme(const struct cache_set *c, __u32 service, bool most)
{
	__u64 best_load = 0;
	__u32 best = 0, best_weight = 0;

	if (!c)
		return 0;
	for (int i = CACHE_SET - 1; i >= 0; i--) {
		__u32 id = c->dest[i];
		struct dest *d;
		__u64 load;

		if (i >= c->count)
			continue;
		d = bpf_map_lookup_elem(&dests, &id);
		if (!d || d->service != service || !d->weight)
			continue;
		if (!most && (!(d->flags & DEST_AVAILABLE) || overloaded(id)))
			continue;
		load = load_of(id);
		if (best && (most ? best_load * d->weight >= load * best_weight :
				    best_load * d->weight <= load * best_weight))
			continue;
		best = i + 1;
		best_load = load;
		best_weight = d->weight;
	}
	return best;
}

static __always_inline void cache_remove(struct cache_set *c, __u32 place)
{
	for (int i = 0; i < CACHE_SET - 1; i++)
		if (i >= place)
			c->dest[i] = c->dest[i + 1];
	c->count--;
}

static __always_inline void cache_add(struct cache_set *c, __u32 dest, __u32 now)
{
	for (int i = 0; i < CACHE_SET; i++)
		if (i < c->count && c->dest[i] == dest)
			return;
	if (c->count >= CACHE_SET)
		cache_remove(c, 0);
	c->dest[c->count & (CACHE_SET - 1)] = dest;
	c->count++;
	c->changed = now;
}

/* The destination an address had, if it may have it again; 0: choose anew.
 * `c` becomes what is remembered of the address. */
static __always_inline __u32 cache_hit(struct set *set, __u32 service, struct cache_set *c, bool one,
				       __u32 expiration)
{
	__u32 at, id, now = c->used;
	struct dest *d;

	if (one) {
		id = c->dest[0];
		d = bpf_map_lookup_elem(&dests, &id);
		if (!c->count || !d || d->service != service || !(d->flags & DEST_AVAILABLE) || !d->weight)
			return 0;
		return too_busy(set, d, id) ? 0 : id;
	}
	at = cache_extreme(c, service, false);
	id = at ? c->dest[(at - 1) & (CACHE_SET - 1)] : 0;
	if (c->count > 1 && now - c->changed > expiration) {
		at = cache_extreme(c, service, true);
		if (at)
			cache_remove(c, at - 1);
		c->changed = now;
	}
	d = id ? bpf_map_lookup_elem(&dests, &id) : NULL;
	return d && !too_busy(set, d, id) ? id : 0;
}

static __always_inline bool keeps_one(const struct set *set)
{
	return set->scheduler == SCHED_LBLC;
}

/* lblc and lblcr: who had the address before, and may have it again; 0: the
 * service's next one by wlc is to have it, and cache_note to be told. */
__noinline __u32 cache_look(__u32 set_id, const struct hash_key *key)
{
	struct set *set = bpf_map_lookup_elem(&sets, &set_id);
	__u32 zero = 0, now = bpf_ktime_get_coarse_ns() / 1000000000, dest, expiration;
	struct cache_set *c = bpf_map_lookup_elem(&cache_scratch, &zero), *have;
	struct cache_key k = {.service = set_id / 2};

	if (!set || !key || !c)
		return 0;
	expiration = keeps_one(set) ? setting.lblc_expiration : setting.lblcr_expiration;
	k.addr = key->asked;
	have = bpf_map_lookup_elem(&caches, &k);
	c->count = 0;
	c->changed = now;
	if (have && now - have->used <= expiration)
		*c = *have;
	c->used = now;
	dest = cache_hit(set, k.service, c, keeps_one(set), expiration);
	if (!dest)
		return 0;
	trace(STEP_CHOSEN, dest, set->scheduler);
	if (!explaining)
		bpf_map_update_elem(&caches, &k, c, BPF_ANY);
	return dest;
}

/* Remembers whom the address that was just looked for was given. */
__noinline int cache_note(__u32 set_id, const struct hash_key *key, __u32 dest)
{
	struct set *set = bpf_map_lookup_elem(&sets, &set_id);
	__u32 zero = 0;
	struct cache_set *c = bpf_map_lookup_elem(&cache_scratch, &zero);
	struct cache_key k = {.service = set_id / 2};

	if (!set || !key || !c || explaining)
		return 0;
	k.addr = key->asked;
	if (keeps_one(set))
		c->count = 0;
	cache_add(c, dest, c->used);
	bpf_map_update_elem(&caches, &k, c, BPF_ANY);
	return 0;
}
