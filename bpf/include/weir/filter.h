/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The filter in front of every look-up: addresses nobody asked about are left
 * alone after one multiplication. */
#pragma once

#include "maps.h"
#include "parse.h"

/* One word of the address, multiplied by the golden ratio; Go sets the same bit. */
static __always_inline __u32 filter_bit(const struct addr *a)
{
	return ((a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3]) * 0x9e3779b1u) >> 16;
}

static __always_inline bool filter_has(__u32 filter, const struct addr *a)
{
	__u32 bit = filter_bit(a);
	struct filter *f = bpf_map_lookup_elem(&filters, &filter);

	return f && (f->bits[(bit >> 6) & (FILTER_BITS / 64 - 1)] >> (bit & 63)) & 1;
}

/* Might this be the address of a service or of a destination? */
static __always_inline bool watched(const struct addr *a)
{
	return filter_has(FILTER_WATCHED, a);
}

/* … of one whose connections are in the wide table? */
static __always_inline bool watched_wide(const struct addr *a)
{
	return filter_has(FILTER_WIDE, a);
}
