/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What XDP tells the tc program behind it. A packet of a one-packet service
 * leaves nothing in the connection table, so that one which XDP chose a real
 * server for, but cannot send itself, would be scheduled a second time there,
 * and counted. The choice goes with the packet, in front of it, where the
 * kernel keeps what XDP programs have to say (data_meta). Where a driver has no
 * room for it the packet is scheduled twice.
 */
#pragma once

#include "parse.h"

struct choice {
	__u32 seal; /* nobody else's note is taken for ours */
	__u32 dest;
};

static __always_inline __u32 choice_seal(__u32 dest)
{
	return (__u32)(hash_seed >> 32) ^ dest;
}

/* XDP only. Pointers into the packet are not valid any more. */
static __always_inline void choice_leave(void *ctx, __u32 dest)
{
	struct choice *c;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*c)))
		return;
	c = (void *)ctx_field(ctx, struct xdp_md, data_meta);
	if ((void *)(c + 1) > ctx_data(ctx))
		return;
	c->seal = choice_seal(dest);
	c->dest = dest;
}

/* tc only: the destination that was chosen; 0: none was. */
static __always_inline __u32 choice_left(void *ctx)
{
	struct choice *c = (void *)ctx_field(ctx, struct __sk_buff, data_meta);

	if ((void *)(c + 1) > ctx_data(ctx) || c->seal != choice_seal(c->dest))
		return 0;
	return c->dest;
}
