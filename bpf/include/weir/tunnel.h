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

static __always_inline __u8 outer_protocol(const struct packet *p, const struct dest *d)
{
	if (encap_type(d) == ENCAP_GUE)
		return IPPROTO_UDP;
	if (encap_type(d) == ENCAP_GRE)
		return IPPROTO_GRE;
	return p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

static __always_inline void outer_head4(struct iphdr4 *ip, const struct inner *in, const struct dest *d,
					const struct nexthop *n, __u32 size, __u8 protocol)
{
	ip->vihl = 0x45;
	ip->tos = outer_tos(in->tos);
	ip->len = bpf_htons(in->len + size);
	ip->id = in->df ? 0 : bpf_get_prandom_u32();
	ip->frag = in->df ? bpf_htons(IP_DF) : 0;
	ip->ttl = in->ttl - 1;
	ip->protocol = protocol;
	ip->saddr = n->from.w[3];
	ip->daddr = d->addr.w[3];
	ip->check = ~csum_fold((__u64)bpf_htons(0x4500 | ip->tos) + ip->len + ip->id + ip->frag +
			       bpf_htons((__u16)ip->ttl << 8 | ip->protocol) + ip->saddr + ip->daddr);
}

static __always_inline void outer_head6(struct iphdr6 *ip, const struct inner *in, const struct dest *d,
					const struct nexthop *n, __u32 size, __u8 protocol)
{
	ip->flow = bpf_htonl(0x60000000 | (__u32)outer_tos(in->tos) << 20);
	ip->payload = bpf_htons(in->len + size - sizeof(*ip));
	ip->next = protocol;
	ip->hops = in->ttl - 1;
	ip->saddr = n->from;
	ip->daddr = d->addr;
}

/* Makes the outer headers of a packet whose hop count was taken down already
 * (p still has the old one). */
__noinline int outer_make(const struct packet *p, const struct dest *d, const struct nexthop *n, struct outer *o)
{
	__u32 ip, size;
	void *second;
	bool v6;

	if (!p || !d || !n || !o)
		return 0;
	struct inner in = {
		.len = p->len, .tos = p->tos, .ttl = p->ttl, .v6 = p->v6, .df = !p->v6 && !p->may_fragment,
	};
	v6 = d->flags & DEST_V6;
	ip = v6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4);
	size = encap_size(d);
	second = &o->bytes[v6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4)];
	o->flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	o->flags |= v6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	if (is_summed(d, o) && !o->sum)
		o->sum = sum_that_follows(o->head[0], o->head[1], o->head[2], p->v6,
					  p->len - (p->l4 - p->l3), p->protocol);
	if (encap_type(d) == ENCAP_GUE) {
		o->flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
		gue_head(second, &in, d, n, flow_port(p), is_summed(d, o), o->sum);
	} else if (encap_type(d) == ENCAP_GRE) {
		o->flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
		if (!is_summed(d, o))
			size = sizeof(struct gre);
		gre_head(second, p, d, o);
	}
	o->size = ip + size;
	if (v6)
		outer_head6((void *)o->bytes, &in, d, n, o->size, outer_protocol(p, d));
	else
		outer_head4((void *)o->bytes, &in, d, n, o->size, outer_protocol(p, d));
	return 0;
}

/* Reads what the outer headers depend on and p does not hold. */
static __always_inline bool outer_read(struct packet *p, const struct dest *d, struct outer *o)
{
	__u32 *head = packet_at(p, p->l3, sizeof(o->head));
	void *ctx = p->ctx;
	struct udp *udp;
	int must;

	if (!head)
		return false;
	__builtin_memcpy(o->head, head, sizeof(o->head));
	o->gso = xdp ? 0 : ctx_field(p->ctx, struct __sk_buff, gso_size);
	o->sum = 0;
	udp = packet_at(p, p->l4, sizeof(*udp));
	if (udp)
		o->udp = *udp;
	must = outer_must_sum(p, d, o);
	p->ctx = ctx; /* for the verifier, which takes all of *p for numbers now */
	return !must || sum_range(ctx, p->l3, p->len, &o->sum, p->len);
}

/* Makes room between Ethernet and IP and fills it. In tc the kernel is told
 * what stands there, so that it can cut a GSO packet later; the segments stay
 * as large as they are, since it was seen that they fit. */
static __always_inline bool outer_put(const struct packet *p, struct outer *o)
{
	__u32 size = believed(o->size, OUTER_MOST);

	if (xdp)
		return !bpf_xdp_adjust_head(p->ctx, -(int)size) &&
		       !bpf_xdp_store_bytes(p->ctx, p->l3, o->bytes, size);
	return !bpf_skb_adjust_room(p->ctx, size, BPF_ADJ_ROOM_MAC, o->flags) &&
	       !bpf_skb_store_bytes(p->ctx, p->l3, o->bytes, size, 0);
}

/* Wraps the packet, whose hop count was taken down already. */
static __noinline bool wrap(struct packet *p, const struct dest *d, const struct nexthop *n)
{
	__u32 zero = 0;
	struct outer *o = bpf_map_lookup_elem(&outers, &zero);
	void *ctx = p->ctx;
	struct ethhdr *eth;

	if (!o || !outer_read(p, d, o))
		return false;
	outer_make(p, d, n, o);
	p->ctx = ctx;
	if (!outer_put(p, o))
		return false;
	eth = packet_at(p, 0, sizeof(*eth));
	if (!eth)
		return false;
	eth->h_proto = d->flags & DEST_V6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return true;
}

/* What fits on the way, by its own interfaces and by what routers said. */
static __always_inline __u32 way_mtu(const struct nexthop *n, __u32 now)
{
	__u32 learned = n->learned_mtu;

	if (learned && (__s32)(n->learned_until - now) > 0 && (learned < n->mtu || !n->mtu))
		return learned;
	return n->mtu;
}

/* The smallest packets IPv4 and IPv6 must carry whole (RFC 791, RFC 8200). */
#define LEAST_MTU4 68
#define LEAST_MTU6 1280

/* The largest packet of the client's that fits on the way; 0: not known.
 * A tunnel that leaves less than an IP packet needs carries none: 1. */
static __always_inline __u32 room_on_way(const struct dest *d, const struct nexthop *n, bool tunnel)
{
	__u32 least = d->flags & DEST_V6 ? LEAST_MTU6 : LEAST_MTU4;

	__u32 mtu = n->mtu;

	if (unlikely(n->learned_mtu))
		mtu = way_mtu(n, ticks_now());
	if (!tunnel || !mtu)
		return mtu;
	return mtu >= outer_size(d) + least ? mtu - outer_size(d) : 1;
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
