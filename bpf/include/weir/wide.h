/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The wide table: connections whose destination does not tell all, and the
 * templates that control them (IPVS.md e.2: a template is a connection without
 * a client port). One table for both families; the rules of conn.h hold here,
 * with two more.
 *
 * Half-open connections and templates that never led to an established one
 * live here beside the others and give way when a bucket is full, the one that
 * ends first before the others; what is established never does.
 *
 * A template knows how many connections it controls and does not end before
 * them; they know it by its place, which therefore never changes. When its
 * time is over and it is still held, it lives on by sixty seconds at a time,
 * as in IPVS.
 */
#pragma once

static __always_inline __u32 seconds_ticks(__u32 seconds)
{
	return ((__u64)seconds * 1000000000 + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT;
}

#define TEMPLATE_ASSURED 1 /* state: it controlled an established connection */

#define HELD_TICKS ((__u32)(60ull * 1000000000 >> TICK_SHIFT) + 1)

static __always_inline struct wide_bucket *wide_bucket_at(__u64 hash, __u32 nth, __u32 *at)
{
	__u32 i = bucket_index(hash, nth, wide_buckets); /* before Linux 6.2 a key must be on this stack */

	*at = i;
	return bpf_map_lookup_elem(&wides, &i);
}

/* The entry at a place: bucket · ways + way. */
static __always_inline struct wide *wide_entry(__u32 index)
{
	__u32 i = index / CONN_WAYS;
	struct wide_bucket *b = bpf_map_lookup_elem(&wides, &i);

	return b ? &b->conn[index & (CONN_WAYS - 1)] : NULL;
}

static __always_inline __u32 wide_place(const struct conn *c)
{
	return c->bucket * CONN_WAYS + (c->way & (CONN_WAYS - 1));
}

static __always_inline bool wide_client(const struct wide *e, const struct flow *f)
{
	return (e->client.w[0] | (__u64)e->client.w[1] << 32) == f->addr[0] &&
	       (e->client.w[2] | (__u64)e->client.w[3] << 32) == f->addr[1];
}

/* Is the entry the flow's connection? */
static __always_inline bool wide_is(const struct wide *e, const struct flow *f, __u64 word)
{
	__u32 id = ctl_dest(word);
	struct dest *d;

	if (e->protocol != f->protocol || e->cport != key_cport(f->key, f->v6) || !wide_client(e, f))
		return false;
	if (!f->out)
		return e->vport == key_vport(f->key, f->v6) && same_addr(&e->vaddr, &f->server);
	if ((word & CTL_FORWARD_MASK) != 0)
		return e->vport == f->sport && same_addr(&e->vaddr, &f->server);
	d = bpf_map_lookup_elem(&dests, &id);
	return d && e->dport == f->sport && same_addr(&d->addr, &f->server);
}

static __always_inline bool wide_find_in(const struct flow *f, __u32 nth, struct conn *c)
{
	struct wide_bucket *b = wide_bucket_at(f->hash, nth, &c->bucket);

	if (!b)
		return false;
	for (int i = 0; i < CONN_WAYS; i++) {
		struct wide *e = &b->conn[i];
		__u64 word = READ_ONCE(e->ctl);

		if (!ctl_dest(word) || ctl_dest(word) == CTL_BUSY_DEST || word & CTL_TEMPLATE)
			continue;
		if (!ctl_alive(word, f->now) || !wide_is(e, f, word))
			continue;
		c->way = i;
		c->word = word;
		c->vaddr = e->vaddr;
		c->vport = e->vport;
		c->dport = e->dport;
		c->parent = e->parent;
		return true;
	}
	return false;
}

static __always_inline bool any_displaced_wide(void)
{
	return READ_ONCE(uses.displaced_wide);
}

static __always_inline int wide_find(const struct flow *f, struct conn *c)
{
	c->where = IN_WIDE;
	if (wide_find_in(f, 0, c) || wide_find_in(f, 1, c))
		return 1;
	if (any_displaced_wide())
		for (int n = 2; n < 2 + MORE_BUCKETS; n++)
			if (wide_find_in(f, n, c))
				return 1;
	return 0;
}

static __always_inline void no_cport_add(__u64 delta)
{
	__sync_fetch_and_add(&uses.no_cport, delta);
}

static __always_inline void template_count(__u32 dest, __u64 delta)
{
	struct live *l = bpf_map_lookup_elem(&lives, &dest);

	if (l)
		__sync_fetch_and_add(&l->templates, delta);
}

/* One connection less for a template to hold. */
static __always_inline void release(__u32 parent)
{
	struct wide *t = parent ? wide_entry(parent - 1) : NULL;

	if (t)
		__sync_fetch_and_add(&t->held, -1);
}

/* Undoes what a wide entry was counted for; whoever swapped its word out calls
 * it, with the parent the entry had. */
static __always_inline void wide_forget(__u64 word, __u32 parent)
{
	if (word & CTL_TEMPLATE) {
		template_count(ctl_dest(word), -1ull);
	} else {
		mark_overload(ctl_dest(word), live_add(ctl_dest(word), -live_unit(word)), false);
		release(parent);
	}
	if (word & CTL_NO_CPORT)
		no_cport_add(-1ull);
	if (word & CTL_DISPLACED)
		__sync_fetch_and_add(&uses.displaced_wide, -1ull);
}

