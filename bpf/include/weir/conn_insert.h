/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Entering a connection: into the main table, where a full one refuses, or
 * among the half-open ones, where the oldest gives way.
 */
#pragma once

#include "sctp_state.h"

/* Publishes an entry in a slot this CPU has claimed. */
static __always_inline void fill(__u64 *e, const struct flow *f, bool v6, __u64 word)
{
	if (v6) {
		WRITE_ONCE(e[0], f->addr[0]);
		WRITE_ONCE(e[1], f->addr[1]);
	}
	WRITE_ONCE(e[STRIDE(v6) - 2], f->key);
	__sync_lock_test_and_set(&e[STRIDE(v6) - 1], word);
}

static __always_inline __u32 room_in(__u64 *b, bool v6, __u32 now)
{
	__u32 n = 0;

	if (!b)
		return 0;
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 w = READ_ONCE(b[i * STRIDE(v6) + STRIDE(v6) - 1]);

		n += !ctl_dest(w) || !ctl_alive(w, now);
	}
	return n;
}

/* Claims a free or outlived slot and fills it. */
static __always_inline bool insert_in(__u64 *b, const struct flow *f, bool v6, __u64 word)
{
	if (!b)
		return false;
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 *e = b + i * STRIDE(v6);
		__u64 *ctl = &e[STRIDE(v6) - 1];
		__u64 old = READ_ONCE(*ctl);

		if (ctl_dest(old) && ctl_alive(old, f->now))
			continue;
		if (__sync_val_compare_and_swap(ctl, old, ctl_pack(f->now + 60, CTL_BUSY_DEST, 0, 0)) != old)
			continue;
		if (ctl_dest(old))
			conn_forget(old, v6);
		fill(e, f, v6, word);
		return true;
	}
	return false;
}

/* The main table: the emptier home, else a displaced place, else there is no room. */
static __always_inline bool insert_main(const struct flow *f, bool v6, __u64 word)
{
	__u64 *a = bucket_at(v6, false, f->hash, 0);
	__u64 *b = bucket_at(v6, false, f->hash, 1);
	__u32 ra = room_in(a, v6, f->now);

	/* The first home is preferred while it has two places: most look-ups
	 * then end there, and the balance that keeps buckets from filling stays. */
	if ((ra >= 2 || ra >= room_in(b, v6, f->now)) && insert_in(a, f, v6, word))
		return true;
	if (insert_in(b, f, v6, word) || insert_in(a, f, v6, word))
		return true;
	for (int n = 2; n < 2 + MORE_BUCKETS; n++) {
		if (insert_in(bucket_at(v6, false, f->hash, n), f, v6, word | CTL_DISPLACED)) {
			displaced_add(v6, 1);
			return true;
		}
	}
	return false;
}

/* How long an entry will be there yet, for comparing: SCTP's first state lasts
 * 4 s, the others and TCP's about 60, and is no older for that. */
static __always_inline __s32 half_left(__u64 w, __u32 now)
{
	__u32 left = (__u32)(w >> CTL_EXPIRES_SHIFT) - now;

	return w & CTL_SCTP && ctl_state(w) == S_I1 ? left + SECONDS(56) : left;
}

/* The oldest half-open entry of a bucket: the one that ends first. An
 * established one waits here only when the main table was full; it stays. */
static __always_inline __u64 *oldest_in(__u64 *b, bool v6, __u32 now, __s32 *left)
{
	__u64 *oldest = NULL;

	if (!b)
		return NULL;
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 *e = b + i * STRIDE(v6);
		__u64 w = READ_ONCE(e[STRIDE(v6) - 1]);
		__s32 l = half_left(w, now);

		if (ctl_dest(w) == CTL_BUSY_DEST || ctl_established(w) || l >= *left)
			continue;
		*left = l;
		oldest = e;
	}
	return oldest;
}

static __always_inline bool insert_half(const struct flow *f, bool v6, __u64 word)
{
	__u64 *a = bucket_at(v6, true, f->hash, 0);
	__u64 *b = bucket_at(v6, true, f->hash, 1);
	__s32 left = 0x7fffffff;
	__u64 *e, *other, old;

	if (insert_in(a, f, v6, word) || insert_in(b, f, v6, word))
		return true;
	e = oldest_in(a, v6, f->now, &left);
	other = oldest_in(b, v6, f->now, &left);
	if (other)
		e = other;
	if (!e)
		return false;
	old = READ_ONCE(e[STRIDE(v6) - 1]);
	if (ctl_dest(old) == CTL_BUSY_DEST ||
	    __sync_val_compare_and_swap(&e[STRIDE(v6) - 1], old, ctl_pack(f->now + 60, CTL_BUSY_DEST, 0, 0)) != old)
		return false;
	if (ctl_dest(old))
		conn_forget(old, v6);
	fill(e, f, v6, word);
	return true;
}

static __always_inline bool insert(const struct flow *f, bool v6, __u64 word)
{
	__u32 state = ctl_state(word);

	if (word & CTL_SCTP ? state >= SCTP_ESTABLISHED : state == STATE_UDP || state == STATE_ESTABLISHED)
		return insert_main(f, v6, word);
	return insert_half(f, v6, word);
}

/* Enters a new connection in the given state and counts it: 1, or 0 for no room. */
__noinline int conn_insert(const struct flow *f, __u64 word)
{
	if (!f)
		return 0;
	if (explaining)
		return 1;
	if (!(f->v6 ? insert(f, true, word) : insert(f, false, word)))
		return 0;
	mark_overload(ctl_dest(word), live_add(ctl_dest(word), live_unit(word)), true);
	count_conn(ctl_dest(word));
	return 1;
}
