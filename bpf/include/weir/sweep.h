/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Forgetting connections whose time is over. Go runs this program over slices
 * of a table, about once a second for the whole; an outlived entry is already
 * invisible to packets, so nobody waits for it. Without Go entries are
 * reclaimed when their place is needed.
 */
#pragma once

#include "conn.h"

struct sweeping {
	struct sweep *job;
	__u32 now;
	__u32 used;
	__u32 gone;
};

static __always_inline void sweep_bucket(__u64 *b, bool v6, struct sweeping *s)
{
	if (!b)
		return;
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 *ctl = &b[i * STRIDE(v6) + STRIDE(v6) - 1];
		__u64 word = READ_ONCE(*ctl);

		if (!ctl_dest(word) || ctl_dest(word) == CTL_BUSY_DEST)
			continue;
		if (ctl_alive(word, s->now)) {
			s->used++;
			continue;
		}
		if (__sync_val_compare_and_swap(ctl, word, 0) != word)
			continue; /* a packet came by after all */
		conn_forget(word, v6);
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
	}
	return 0;
}

SEC("syscall")
int weir_sweep(struct sweep *job)
{
	struct sweeping s = {.job = job, .now = bpf_ktime_get_ns() >> TICK_SHIFT};

	bpf_loop(job->count, sweep_turn, &s, 0);
	job->used = s.used;
	job->gone = s.gone;
	return 0;
}
