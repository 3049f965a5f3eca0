/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The filter in front of every look-up: addresses nobody asked about are left
 * alone after one multiplication. */
#pragma once

#include "maps.h"
#include "parse.h"

#define WATCHED 1u /* may be the address of a service or of a destination … */
#define WIDE	2u /* … of one whose connections are in the wide table */

/* One word of the address, multiplied by the golden ratio; Go sets the same bits. */
static __always_inline __u32 filter_place(const struct addr *a)
{
	return ((a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3]) * 0x9e3779b1u) >> 16;
}

/* What is known of an address: WATCHED, WIDE. */
static __always_inline __u32 watch(const struct addr *a)
{
	__u32 place = filter_place(a);
	__u64 word = READ_ONCE(filters.bits[(place >> 5) & (FILTER_PLACES / 32 - 1)]);

	return (word >> ((place & 31) * 2)) & 3;
}

static __always_inline bool watched(const struct addr *a)
{
	return watch(a) & WATCHED;
}
