/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Takes the wrapping off, so that the inner packet goes on into the stack as
 * if it had arrived on this interface.
 */
#pragma once

#include "inner.h"

/* The kernel keeps its sums right, and looks at the inner ones anew. The
 * segments of a GSO packet were cut for the inner packet and stay as large.
 * Another family of the inner packet is told with bpf_skb_change_proto, which
 * every kernel has: it also moves the difference of 20 bytes. */
static __always_inline bool cut(const struct packet *p, const struct wrapped *w)
{
	int size = w->at - ETH_HLEN;

	if (w->inner6 != w->v6) {
		__be16 proto = w->inner6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

		if (bpf_skb_change_proto(p->ctx, proto, 0))
			return false;
		size += w->inner6 ? 20 : -20;
	}
	return !bpf_skb_adjust_room(p->ctx, -size, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

static __always_inline bool mark4(const struct packet *p, const struct marking *m)
{
	struct iphdr4 *ip = packet_at(p, ETH_HLEN, sizeof(*ip));

	if (!ip)
		return false;
	/* The header's sum changes with it, so the packet's does not. */
	ip->check = csum_apply(ip->check, csum_change16(bpf_htons(m->was), bpf_htons(m->now)));
	ip->tos = m->now;
	return true;
}

static __always_inline bool mark6(const struct packet *p, const struct marking *m)
{
	struct iphdr6 *ip = packet_at(p, ETH_HLEN, sizeof(*ip));
	__be32 flow;

	if (!ip)
		return false;
	flow = (ip->flow & ~bpf_htonl(0x0ff00000)) | bpf_htonl((__u32)m->now << 20);
	return !bpf_skb_store_bytes(p->ctx, ETH_HLEN, &flow, sizeof(flow), BPF_F_RECOMPUTE_CSUM);
}

/* GUE's remote checksum: the sender left its sum to us. The field holds what
 * the pseudo header adds. */
static __noinline bool finish_sum(struct packet *p, const struct wrapped *w)
{
	__u32 len = w->end - w->at;
	__u64 sum = 0;
	__u16 check;

	if (!sum_range(p->ctx, ETH_HLEN + w->sum_start, len - w->sum_start, &sum, w->end))
		return false;
	check = ~csum_fold(sum);
	return !bpf_skb_store_bytes(p->ctx, ETH_HLEN + w->sum_at, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline bool strip(struct packet *p, const struct wrapped *w, const struct marking *m)
{
	struct ethhdr *eth;

	if (!cut(p, w))
		return false;
	eth = packet_at(p, 0, sizeof(*eth));
	if (!eth)
		return false;
	eth->h_proto = w->inner6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (m->now != m->was && !(w->inner6 ? mark6(p, m) : mark4(p, m)))
		return false;
	bpf_set_hash_invalid(p->ctx); /* it was made of the outer addresses */
	return !w->remote || finish_sum(p, w);
}
