/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Counters. A destination's packets and bytes are per CPU; a service's are the
 * sum of its destinations', which Go adds up, so that a packet pays once.
 */
#pragma once

#include "maps.h"
#include "parse.h"

static __always_inline void count_verdict(__u32 v)
{
	__u64 *n = bpf_map_lookup_elem(&verdicts, &v);

	if (n && !explaining)
		(*n)++;
}

static __always_inline void count_in(__u32 dest, __u32 bytes)
{
	struct dest_stats *s = bpf_map_lookup_elem(&stats, &dest);

	if (s && !explaining) {
		s->in_packets++;
		s->in_bytes += bytes;
	}
}

static __always_inline void count_out(__u32 dest, __u32 bytes)
{
	struct dest_stats *s = bpf_map_lookup_elem(&stats, &dest);

	if (s && !explaining) {
		s->out_packets++;
		s->out_bytes += bytes;
	}
}

static __always_inline void count_conn(__u32 dest)
{
	struct dest_stats *s = bpf_map_lookup_elem(&stats, &dest);

	if (s && !explaining)
		s->conns++;
}
