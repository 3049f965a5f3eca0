/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Tunnels: IP in IP (RFC 2003, RFC 2473), GUE and GRE, all four mixes of
 * families. The outer header is what the kernel's IPVS writes: hop count and
 * DSCP of the inner packet, DF of an IPv4 packet in IPv4, no flow label.
 */
#pragma once

#include "encap.h"
#include "send.h"

#define FORWARD_MASQ   0
#define FORWARD_TUNNEL 2

static __always_inline __u32 outer_size(const struct dest *d)
{
	return (d->flags & DEST_V6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4)) + encap_size(d);
}

/* ECN of the inner packet, but congestion experienced becomes ECT(0): the
 * outer packet has met none yet (RFC 6040, normal mode). */
static __always_inline __u8 outer_tos(__u8 tos)
{
	return (tos & 3) == 3 ? (tos & ~3) | 2 : tos;
}

static __always_inline bool look_inside(const struct packet *p, struct inner *in)
{
	if (p->v6) {
		struct iphdr6 *ip = packet_at(p, p->l3, sizeof(*ip));

		if (!ip)
			return false;
		in->tos = outer_tos(bpf_ntohl(ip->flow) >> 20);
		in->ttl = ip->hops;
		in->df = false;
	} else {
		struct iphdr4 *ip = packet_at(p, p->l3, sizeof(*ip));

		if (!ip)
			return false;
		in->tos = outer_tos(ip->tos);
		in->ttl = ip->ttl;
		in->df = ip->frag & bpf_htons(IP_DF);
	}
	return true;
}

/* Makes room between Ethernet and IP. In tc the kernel is told what will stand
 * there, so that it can cut a GSO packet later; the segments stay as large as
 * they are, since it was seen that they fit. */
static __always_inline bool make_room(const struct packet *p, const struct inner *in, bool outer6)
{
	__u32 size = (outer6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4)) + in->size;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;

	if (xdp)
		return !bpf_xdp_adjust_head(p->ctx, -(int)size);
	flags |= outer6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	if (in->type == ENCAP_GUE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	if (in->type == ENCAP_GRE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	return !bpf_skb_adjust_room(p->ctx, size, BPF_ADJ_ROOM_MAC, flags);
}

static __always_inline __u8 outer_protocol(const struct packet *p, const struct inner *in)
{
	if (in->type == ENCAP_GUE)
		return IPPROTO_UDP;
	if (in->type == ENCAP_GRE)
		return IPPROTO_GRE;
	return p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

static __always_inline bool outer_head4(const struct packet *p, const struct dest *d, const struct nexthop *n,
					const struct inner *in)
{
	struct iphdr4 *ip = packet_at(p, p->l3, sizeof(*ip));

	if (!ip)
		return false;
	ip->vihl = 0x45;
	ip->tos = in->tos;
	ip->len = bpf_htons(p->len + sizeof(*ip) + in->size);
	ip->id = in->df ? 0 : bpf_get_prandom_u32();
	ip->frag = in->df ? bpf_htons(IP_DF) : 0;
	ip->ttl = in->ttl;
	ip->protocol = outer_protocol(p, in);
	ip->saddr = n->from.w[3];
	ip->daddr = d->addr.w[3];
	ip->check = 0;
	ip->check = ~csum_fold((__u64)bpf_htons(0x4500 | in->tos) + ip->len + ip->id + ip->frag +
			       bpf_htons((__u16)ip->ttl << 8 | ip->protocol) + ip->saddr + ip->daddr);
	return true;
}

static __always_inline bool outer_head6(const struct packet *p, const struct dest *d, const struct nexthop *n,
					const struct inner *in)
{
	struct iphdr6 *ip = packet_at(p, p->l3, sizeof(*ip));

	if (!ip)
		return false;
	ip->flow = bpf_htonl(0x60000000 | (__u32)in->tos << 20);
	ip->payload = bpf_htons(p->len + in->size);
	ip->next = outer_protocol(p, in);
	ip->hops = in->ttl;
	ip->saddr = n->from;
	ip->daddr = d->addr;
	return true;
}

/* Wraps the packet, whose hop count was taken down already. */
static __noinline bool wrap(struct packet *p, const struct dest *d, const struct nexthop *n)
{
	bool outer6 = d->flags & DEST_V6;
	struct inner in = {};
	struct ethhdr *eth;
	__u32 at;

	if (!look_inside(p, &in) || !look_for_encap(p, d, &in) || !make_room(p, &in, outer6))
		return false;
	eth = packet_at(p, 0, sizeof(*eth));
	if (!eth)
		return false;
	eth->h_proto = outer6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (!(outer6 ? outer_head6(p, d, n, &in) : outer_head4(p, d, n, &in)))
		return false;
	at = p->l3 + (outer6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4));
	if (in.type == ENCAP_GUE)
		return gue_head(p, at, d, n, &in);
	if (in.type == ENCAP_GRE)
		return gre_head(p, at, &in);
	return true;
}

/* The smallest packets IPv4 and IPv6 must carry whole (RFC 791, RFC 8200). */
#define LEAST_MTU4 68
#define LEAST_MTU6 1280

/* The largest packet of the client's that fits on the way; 0: not known.
 * A tunnel that leaves less than an IP packet needs carries none: 1. */
static __always_inline __u32 room_on_way(const struct dest *d, const struct nexthop *n, bool tunnel)
{
	__u32 least = d->flags & DEST_V6 ? LEAST_MTU6 : LEAST_MTU4;

	if (!tunnel || !n->mtu)
		return n->mtu;
	return n->mtu >= outer_size(d) + least ? n->mtu - outer_size(d) : 1;
}

/* A tunnel needs a source address, which only Go's next hop has. */
static __always_inline bool tunnel_ready(const struct nexthop *n)
{
	return n->ifindex && (n->from.w[0] | n->from.w[1] | n->from.w[2] | n->from.w[3]);
}

/* The last steps of every packet towards a real server. */
static __always_inline int hand_over(struct packet *p, const struct dest *d, const struct nexthop *n, bool tunnel,
				     int *action)
{
	if (!decrement_ttl(p) || (tunnel && !wrap(p, d, n)))
		return V_HELPER;
	*action = send_nexthop(p, n, &d->addr);
	return V_FORWARDED;
}
