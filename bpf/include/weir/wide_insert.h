/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Entering connections and templates into the wide table. */
#pragma once

#include "conn.h"

/* NONE, SYN_SENT, SYN_RECV, CLOSE, SYNACK: nothing is lost to anybody with these. */
#define HALF_OPEN_STATES ((1 << 0) | (1 << 2) | (1 << 3) | (1 << 6) | (1 << 10))
/* SCTP: all before ESTABLISHED. */

static __always_inline bool half_open(__u8 protocol, __u32 state)
{
	if (protocol == IPPROTO_SCTP)
		return state < SCTP_ESTABLISHED;
	return (HALF_OPEN_STATES >> state) & 1;
}

/* May the entry be forgotten for another's sake? */
static __always_inline bool gives_way(const struct wide *e, __u64 word)
{
	if (READ_ONCE(e->held) || ctl_dest(word) == CTL_BUSY_DEST)
		return false;
	if (word & CTL_TEMPLATE)
		return ctl_state(word) != TEMPLATE_ASSURED;
	return half_open(e->protocol, ctl_state(word));
}

/* A template outlives its time while it is held. */
static __always_inline bool wide_over(const struct wide *e, __u64 word, __u32 now)
{
	return !ctl_alive(word, now) && !READ_ONCE(e->held);
}

/* Makes an entry this CPU's. */
static __always_inline bool wide_take(struct wide *e, __u64 old, __u32 now)
{
	__u32 parent = e->parent;

	if (__sync_val_compare_and_swap(&e->ctl, old, ctl_pack(now + 60, CTL_BUSY_DEST, 0, 0)) != old)
		return false;
	if (ctl_dest(old))
		wide_forget(old, parent);
	return true;
}

/* A place for a new entry. */
struct place {
	__u64 hash;
	__u32 now;
	__u32 index;
	__u32 flags; /* CTL_DISPLACED, if it is so */
};

static __always_inline bool wide_free_in(struct place *p, __u32 nth)
{
	struct wide_bucket *b = wide_bucket_at(p->hash, nth, &p->index);

	p->index *= CONN_WAYS;
	if (!b)
		return false;
	for (int i = 0; i < CONN_WAYS; i++) {
		struct wide *e = &b->conn[i];
		__u64 old = READ_ONCE(e->ctl);

		if (ctl_dest(old) && !wide_over(e, old, p->now))
			continue;
		if (!wide_take(e, old, p->now))
			continue;
		p->index += i;
		return true;
	}
	return false;
}

/* A template that led to nobody and holds nothing goes before any connection,
 * however long its own time is. */
#define GOES_FIRST (1 << 30)

/* Takes the place of the one in two buckets that ends first. */
static __always_inline bool wide_evict(struct place *p, __u32 first)
{
	__s32 left = 0x7fffffff;
	struct wide *oldest = NULL;
	__u32 index, where = 0;
	__u64 word = 0;

	for (__u32 n = 0; n < 2 * CONN_WAYS; n++) {
		struct wide_bucket *b = wide_bucket_at(p->hash, first + n / CONN_WAYS, &index);
		struct wide *e;
		__u64 old;
		__s32 l;

		if (!b)
			return false;
		e = &b->conn[n % CONN_WAYS];
		old = READ_ONCE(e->ctl);
		l = (__u32)(old >> CTL_EXPIRES_SHIFT) - p->now;
		if (old & CTL_TEMPLATE)
			l -= GOES_FIRST;
		if (!gives_way(e, old) || l >= left)
			continue;
		left = l;
		oldest = e;
		word = old;
		where = index * CONN_WAYS + n % CONN_WAYS;
	}
	p->index = where;
	return oldest && wide_take(oldest, word, p->now);
}

static __always_inline int wide_displaced(struct place *p)
{
	p->flags = CTL_DISPLACED;
	__sync_fetch_and_add(&uses.displaced_wide, 1);
	return 1;
}

/* Finds and claims a place: 1, or 0 for no room. */
__noinline int wide_claim(struct place *p, bool weak)
{
	if (!p)
		return 0;
	p->flags = 0;
	if (wide_free_in(p, 0) || wide_free_in(p, 1))
		return 1;
	/* Whoever would give way itself takes the place of another such. */
	if (weak && wide_evict(p, 0))
		return 1;
	for (int n = 2; n < 2 + MORE_BUCKETS; n++)
		if (wide_free_in(p, n))
			return wide_displaced(p);
	if (!weak && wide_evict(p, 0))
		return 1;
	for (int n = 2; n < 2 + MORE_BUCKETS; n += 2)
		if (wide_evict(p, n))
			return wide_displaced(p);
	return 0;
}

static __always_inline void client_of(struct addr *a, const struct flow *f)
{
	a->w[0] = f->addr[0];
	a->w[1] = f->addr[0] >> 32;
	a->w[2] = f->addr[1];
	a->w[3] = f->addr[1] >> 32;
}

/* Enters the connection c of a flow and counts it: 1, or 0 for no room. */
__noinline int wide_insert(const struct flow *f, struct conn *c)
{
	struct place p;
	struct wide *e;

	if (!f || !c)
		return 0;
	if (explaining)
		return 1;
	p.hash = f->hash;
	p.now = f->now;
	if (!wide_claim(&p, half_open(f->protocol, ctl_state(c->word))))
		return 0;
	e = wide_entry(p.index);
	if (!e)
		return 0;
	client_of(&e->client, f);
	e->vaddr = c->vaddr;
	e->cport = key_cport(f->key, f->v6);
	e->vport = c->vport;
	e->dport = c->dport;
	e->protocol = f->protocol;
	e->parent = c->parent;
	e->packets = 1;
	e->held = 0;
	e->timeout = 0;
	e->ftp = 0;
	c->word |= p.flags;
	c->where = IN_WIDE;
	c->bucket = p.index / CONN_WAYS;
	c->way = p.index % CONN_WAYS;
	__sync_lock_test_and_set(&e->ctl, c->word);
	mark_overload(ctl_dest(c->word), live_add(ctl_dest(c->word), live_unit(c->word)), true);
	return 1;
}
