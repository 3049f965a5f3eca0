/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The Internet checksum over any part of a packet, wherever the kernel keeps
 * it: the bytes are copied out in large pieces, because only copying reaches
 * all of a packet (fragments of an sk_buff, frames of several buffers in XDP).
 */
#pragma once

#include "csum.h"

#define SCRATCH 512 /* the most bpf_csum_diff takes before Linux 6.13 */

struct scratch {
	__u8 bytes[SCRATCH];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct summing {
	void *ctx;
	__u64 sum;
	__u32 at;
	__u32 left;
	bool failed;
};

static __always_inline long copy_out(void *ctx, __u32 at, void *to, __u32 size)
{
	return xdp ? bpf_xdp_load_bytes(ctx, at, to, size) : bpf_skb_load_bytes(ctx, at, to, size);
}

static long sum_piece(__u32 i, struct summing *s)
{
	__u32 zero = 0, left = s->left;
	struct scratch *buf = bpf_map_lookup_elem(&scratches, &zero);

	if (!buf || !left)
		return 1;
	if (left >= SCRATCH) {
		if (copy_out(s->ctx, s->at, buf->bytes, SCRATCH))
			goto failed;
		s->left -= SCRATCH;
	} else {
		__builtin_memset(buf->bytes, 0, SCRATCH);
		if (copy_out(s->ctx, s->at, buf->bytes, believed(left, SCRATCH)))
			goto failed;
		s->left = 0;
	}
	s->at += SCRATCH;
	s->sum += (__u32)bpf_csum_diff(NULL, 0, (__be32 *)buf->bytes, SCRATCH, 0);
	return 0;
failed:
	s->failed = true;
	return 1;
}

/* Adds the bytes [at, at+len) of the packet to *sum. `any` is a number the
 * verifier does not know (hidden). */
static __noinline bool sum_range(void *ctx, __u32 at, __u32 len, __u64 *sum, __u32 any)
{
	struct summing s = {
		.ctx = ctx,
		.sum = hidden(*sum, any),
		.at = hidden(at, any),
		.left = hidden(len, any),
		.failed = hidden(0, any),
	};

	bpf_loop(0x10000 / SCRATCH, sum_piece, &s, 0);
	*sum = s.sum;
	return !s.failed;
}
