/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Counters. A destination's packets and bytes are per CPU; a service's are the
 * sum of its destinations', which Go adds up, so that a packet pays once. The
 * program that explains has counters of its own, which nobody reads.
 */
#pragma once

#include "maps.h"
#include "parse.h"

static __always_inline void count_verdict(__u32 v)
{
	__u64 *n = bpf_map_lookup_elem(&verdicts, &v);

	if (n)
		(*n)++;
}

static __always_inline void count_in(__u32 dest, __u32 bytes)
{
	struct dest_stats *s = bpf_map_lookup_elem(&stats, &dest);

	if (s) {
		s->in_packets++;
		s->in_bytes += bytes;
	}
}

static __always_inline void count_out(__u32 dest, __u32 bytes)
{
	struct dest_stats *s = bpf_map_lookup_elem(&stats, &dest);

	if (s) {
		s->out_packets++;
		s->out_bytes += bytes;
	}
}

/* Of a server that was taken out IPVS counts no answers (ip_vs_out_stats). */
static __always_inline void count_answer(const struct dest *d, __u32 id, __u32 bytes)
{
	if (d->flags & DEST_AVAILABLE)
		count_out(id, bytes);
}

static __always_inline void count_conn(__u32 dest)
{
	struct dest_stats *s = bpf_map_lookup_elem(&stats, &dest);

	if (s)
		s->conns++;
}
