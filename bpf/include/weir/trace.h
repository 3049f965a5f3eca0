/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The steps a packet took, for `weir explain`. In the program that carries
 * traffic `explaining` is a constant false and nothing of this is left.
 */
#pragma once

#include "maps.h"

static __always_inline void trace(__u32 step, __u32 a, __u32 b)
{
	__u32 zero = 0, n;
	struct trace_log *log;

	if (!explaining)
		return;
	log = bpf_map_lookup_elem(&traces, &zero);
	if (!log)
		return;
	n = log->used;
	if (n >= TRACE_STEPS)
		return;
	log->step[n].step = step;
	log->step[n].a = a;
	log->step[n].b = b;
	log->used = n + 1;
}
