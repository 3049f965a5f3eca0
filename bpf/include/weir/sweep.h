/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Forgetting connections whose time is over. Go runs this program over slices
 * of a table, about once a second for the whole; an outlived entry is already
 * invisible to packets, so nobody waits for it. Without Go entries are
 * reclaimed when their place is needed.
 */
#pragma once

#include "state.h"
#include "wide_insert.h"

struct sweeping {
	struct sweep *job;
	__u32 now;
	__u32 sys; /* SYS_* */
	__u32 used;
	__u32 gone;
};

#define IDLE_TICKS ((__u32)(60ull * 1000000000 >> TICK_SHIFT))

/*
 * Does drop_entry want a connection to go (ip_vs_random_dropentry)? Half-open
 * ones go; of others that were idle for a minute some do. IPVS draws those by
 * their number of packets, which weir does not count: it takes one in four
 * (docs/differences.md).
 */
static __always_inline bool unlucky(__u64 word, __u8 protocol, __u32 now)
{
	__u32 state = ctl_state(word);
	__u32 idle = timeout_of(state, word) - ((__u32)(word >> CTL_EXPIRES_SHIFT) - now);

	if (protocol == IPPROTO_TCP && (state == SR || state == SA))
		return true;
	if (protocol == IPPROTO_SCTP && state < SCTP_ESTABLISHED)
		return true;
	return (ctl_established(word) || state == STATE_UDP) && (__s32)(idle - IDLE_TICKS) >= 0 &&
	       (bpf_get_prandom_u32() & 3) == 0;
}

/* Is a live connection to be forgotten all the same? */
static __always_inline bool condemned(__u64 word, const struct sweeping *s, bool lottery)
{
	__u32 id = ctl_dest(word);
	struct dest *d;

	if (likely(!(s->sys & (SYS_EXPIRE_NODEST | SYS_DROP_ENTRY))))
		return false;
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d || !(d->flags & DEST_AVAILABLE))
		return s->sys & SYS_EXPIRE_NODEST;
	return lottery && unlucky(word, d->protocol, s->now);
}

/* drop_entry looks at a thirty-second of the table each second. */
static __always_inline bool drawn(const struct sweeping *s)
{
	return s->sys & SYS_DROP_ENTRY && bpf_get_prandom_u32() % 32 == 0;
}

static __always_inline void sweep_bucket(__u64 *b, bool v6, struct sweeping *s)
{
	__u64 any = 0;
	bool lottery;

	if (!b)
		return;
	/* Most buckets are empty. */
	for (int i = 0; i < CONN_WAYS; i++)
		any |= READ_ONCE(b[i * STRIDE(v6) + STRIDE(v6) - 1]);
	if (!any)
		return;
	lottery = drawn(s);
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 *ctl = &b[i * STRIDE(v6) + STRIDE(v6) - 1];
		__u64 word = READ_ONCE(*ctl);

		if (!ctl_dest(word) || ctl_dest(word) == CTL_BUSY_DEST)
			continue;
		if (ctl_alive(word, s->now) && !condemned(word, s, lottery)) {
			s->used++;
			continue;
		}
		if (__sync_val_compare_and_swap(ctl, word, 0) != word)
			continue; /* a packet came by after all */
		conn_forget(word, v6);
		s->gone++;
	}
}

/* Is a wide entry that is alive to be forgotten? Templates that led nowhere do
 * not outlive the lottery. */
static __always_inline bool wide_condemned(const struct wide *e, __u64 word, const struct sweeping *s, bool lottery)
{
	if (READ_ONCE(e->held))
		return false;
	if (condemned(word, s, false))
		return true;
	if (word & CTL_TEMPLATE)
		return lottery && ctl_state(word) != TEMPLATE_ASSURED;
	return lottery && unlucky(word, e->protocol, s->now);
}

/* What a wide entry comes to: an outlived one is forgotten, a template that is
 * held lives on. */
static __always_inline void sweep_wide(struct wide_bucket *b, struct sweeping *s)
{
	__u64 any = 0;
	bool lottery;

	if (!b)
		return;
	for (int i = 0; i < CONN_WAYS; i++)
		any |= READ_ONCE(b->conn[i].ctl);
	if (!any)
		return;
	lottery = drawn(s);
	for (int i = 0; i < CONN_WAYS; i++) {
		struct wide *e = &b->conn[i];
		__u64 word = READ_ONCE(e->ctl);
		__u32 parent = e->parent;

		if (!ctl_dest(word) || ctl_dest(word) == CTL_BUSY_DEST)
			continue;
		if (ctl_alive(word, s->now) && !wide_condemned(e, word, s, lottery)) {
			s->used++;
			continue;
		}
		if (READ_ONCE(e->held)) {
			e->timeout = HELD_TICKS;
			__sync_val_compare_and_swap(&e->ctl, word, word + ((__u64)HELD_TICKS << CTL_EXPIRES_SHIFT));
			s->used++;
			continue;
		}
		if (__sync_val_compare_and_swap(&e->ctl, word, 0) != word)
			continue;
		wide_forget(word, parent);
		s->gone++;
	}
}

static long sweep_turn(__u32 i, struct sweeping *s)
{
	__u32 n = s->job->from + i;

	switch (s->job->table) {
	case TABLE_CONNS4:
		sweep_bucket(bpf_map_lookup_elem(&conns4, &n), false, s);
		break;
	case TABLE_CONNS6:
		sweep_bucket(bpf_map_lookup_elem(&conns6, &n), true, s);
		break;
	case TABLE_HALF4:
		sweep_bucket(bpf_map_lookup_elem(&half4, &n), false, s);
		break;
	case TABLE_HALF6:
		sweep_bucket(bpf_map_lookup_elem(&half6, &n), true, s);
		break;
	case TABLE_WIDE:
		sweep_wide(bpf_map_lookup_elem(&wides, &n), s);
		break;
	}
	return 0;
}

SEC("syscall")
int weir_sweep(struct sweep *job)
{
	struct sweeping s = {.job = job, .now = bpf_ktime_get_ns() >> TICK_SHIFT};

	s.sys = sys_on(SYS_EXPIRE_NODEST | SYS_DROP_ENTRY);

	bpf_loop(job->count, sweep_turn, &s, 0);
	job->used = s.used;
	job->gone = s.gone;
	return 0;
}
