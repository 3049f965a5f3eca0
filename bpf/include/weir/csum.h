/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Internet checksums, changed incrementally (RFC 1624, equation 3). A change
 * is a sum of complements of what goes and of what comes; it is folded once.
 */
#pragma once

#include "parse.h"

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What replacing `from` by `to` adds to a sum. */
static __always_inline __u64 csum_change(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

static __always_inline __u64 csum_change_addr(const struct addr *from, const struct addr *to, bool v6)
{
	__u64 sum = csum_change(from->w[3], to->w[3]);

	if (v6)
		for (int i = 0; i < 3; i++)
			sum += csum_change(from->w[i], to->w[i]);
	return sum;
}

/* Ports travel as 16 bits; the complement must stay inside them. */
static __always_inline __u64 csum_change16(__u16 from, __u16 to)
{
	return (__u64)(__u16)~from + to;
}

static __always_inline __u16 csum_apply(__u16 check, __u64 change)
{
	return ~csum_fold((__u64)(__u16)~check + change);
}

/* A checksum whose packet has one hop less (ip_decrease_ttl). */
static __always_inline __u16 csum_less_hop(__u16 check)
{
	__u32 sum = (__u32)check + bpf_htons(0x0100);

	return sum + (sum >= 0xffff);
}

/* Is a sum of some words all ones when folded, which is to say a multiple of
 * 0xffff? For such a one, k times that, multiplied by 0x10001 is k times 2^32 - 1;
 * any other ends further below 2^32. k is small, as the sum is folded once. */
static __always_inline bool sums_to_ones(__u64 sum)
{
	__u32 once = (sum & 0xffff) + (sum >> 16);

	return once * 0x10001u > 0xffffffffu - 0x8000u;
}

static __always_inline __u64 sum_ipv4(const __u32 *word)
{
	return (__u64)word[0] + word[1] + word[2] + word[3] + word[4];
}

/* Does an IPv4 header of this size add up (RFC 791)? The stack drops what does
 * not, so IPVS never sees it; corrected, its damage would pass for good. */
static __always_inline bool header_sums(void *ctx, __u32 size)
{
	__u32 *word = bytes_at(ctx, ETH_HLEN, sizeof(struct iphdr4));
	__u64 sum;

	if (!word)
		return false;
	sum = sum_ipv4(word);
	for (__u32 i = sizeof(struct iphdr4); unlikely(i < size) && i < 60; i += sizeof(*word)) {
		word = bytes_at(ctx, ETH_HLEN + i, sizeof(*word));
		if (!word)
			return false;
		sum += *word;
	}
	return sums_to_ones(sum);
}
