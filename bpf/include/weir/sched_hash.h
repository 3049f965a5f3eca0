/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The schedulers that hash: sh by the client, dh by the address asked for, mh
 * by the client into a Maglev table. Go works the tables out (internal/sched);
 * a packet hashes and looks.
 */
#pragma once

#include "maps.h"
#include "parse.h"

/* What is hashed, as numbers of the host: addresses folded to 32 bits. */
struct hash_key {
	__u32 src;
	__u32 dst;
	__u32 port; /* the client's */
	__u32 pad;
	__u64 asked; /* the address asked for, for the caches */
};

static __always_inline __u32 fold_addr(const struct addr *a, bool v6)
{
	return bpf_ntohl(v6 ? a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3] : a->w[3]);
}

static __always_inline void hash_key_make(struct hash_key *k, const struct packet *p)
{
	k->src = fold_addr(&p->saddr, p->v6);
	k->dst = fold_addr(&p->daddr, p->v6);
	k->port = bpf_ntohs(p->sport);
	k->pad = 0;
	k->asked = (p->daddr.w[0] | (__u64)p->daddr.w[1] << 32) * 0x9e3779b97f4a7c15ull ^
		   (p->daddr.w[2] | (__u64)p->daddr.w[3] << 32);
}

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

/* May the slot's destination take a connection? */
static __always_inline bool usable(const struct slot *s)
{
	return s->weight && (likely(!s->limited) || !overloaded(s->dest));
}

/* hash_32 of Linux: the upper bits of a multiplication by the golden ratio. */
static __always_inline __u32 hash8(__u32 x)
{
	return (x * 0x61c88647u) >> 24;
}

static __always_inline __u64 rotate(__u64 x, int b)
{
	return x << b | x >> (64 - b);
}

static __always_inline void sip_round(__u64 *v)
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 over one 32-bit word, folded to 32 bits; both halves of the key
 * are the number ip_vs_mh begins with. */
static __always_inline __u32 hash_mh(__u32 x)
{
	const __u64 key = 2654435761u, word = 4ull << 56 | x;
	__u64 v[4] = {
		0x736f6d6570736575ull ^ key,
		0x646f72616e646f6dull ^ key,
		0x6c7967656e657261ull ^ key,
		0x7465646279746573ull ^ key,
	};

	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* A walk through a table for somebody usable. */
struct rehash {
	struct set *set;
	__u32 key;
	__u32 home;
	__u32 dest;
};

/* The destination in a place of the table, if it may be used. */
static __always_inline __u32 usable_at(const struct set *set, __u32 place)
{
	__u32 i = set->table + place;
	struct slot *s = bpf_map_lookup_elem(&slots, &i);

	if (!s || place >= set->size || !usable(s))
		return 0;
	return s->dest;
}

/* sh steps on by one place each time, mh hashes again (the fallback of each). */
static long rehash_turn(__u32 i, struct rehash *r)
{
	__u32 place;

	if (r->set->scheduler == SCHED_MH)
		place = hash_mh(r->key + (i + r->home) % r->set->size) % r->set->size;
	else
		place = (i + 2 * r->home) & 255;
	r->dest = usable_at(r->set, place);
	return r->dest != 0;
}

static __always_inline __u32 hash_choice(struct set *set, const struct hash_key *key)
{
	struct rehash r = {.set = set};
	__u32 dest;

	if (!set->size)
		return 0;
	r.key = key->src + (set->flags & SCHED_PORT ? key->port : 0);
	switch (set->scheduler) {
	case SCHED_DH:
		return usable_at(set, hash8(key->dst));
	case SCHED_MH:
		r.home = hash_mh(r.key) % set->size;
		break;
	default:
		r.home = hash8(r.key);
	}
	dest = usable_at(set, r.home);
	if (dest || !(set->flags & SCHED_FALLBACK))
		return dest;
	r.dest = hidden(0, set->size);
	bpf_loop(set->size, rehash_turn, &r, 0);
	return r.dest;
}
