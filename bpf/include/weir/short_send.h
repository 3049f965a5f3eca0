/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The end of the short road: a packet with plain headers leaves unchanged, with
 * another address and port, or wrapped. What is written is what rewrite.h and
 * tunnel.h write; it is known here where everything stands, so that all of it
 * is written in one go.
 */
#pragma once

#include "count.h"
#include "tunnel.h"

/* A packet with plain headers: Ethernet, IP without options or extensions,
 * and TCP or UDP, all in place. */
struct plain {
	void *ctx;
	void *data;
	__u64 client[2];
	__u64 key;
	__u64 hash;
	struct addr saddr;
	struct addr daddr;
	__u32 now;
	__u32 segment; /* size of the largest IP packet this will become (GSO) */
	__u32 gso;
	__u32 in; /* XDP: the interface it came in by */
	__u16 len; /* of the IP packet */
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 state;  /* the one such packets leave a connection in */
	__u8 header; /* size of the transport header */
	__u8 ttl;
	__u8 tos;
	bool df;
	bool turns; /* XDP: may leave by that interface at once */
};

static __always_inline __u32 ip_size(bool v6)
{
	return v6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4);
}

static __always_inline bool same_end(bool v6, const struct addr *a, const struct addr *b)
{
	return v6 ? same_addr(a, b) : a->w[3] == b->w[3];
}

/* The kernel refused to change the packet, which is half changed now. */
static __always_inline int failed(void)
{
	count_verdict(V_HELPER);
	return drop_action();
}

/* Sends the packet, as redirect does; where it came in is known. No action is
 * larger than 7, which the verifier must hear: to it a number it does not know
 * might be UNDECIDED, and a packet that was changed go on. */
static __always_inline int plain_redirect(const struct plain *p, __u32 ifindex)
{
	if (xdp && p->turns && ifindex == p->in)
		return XDP_TX;
	return bpf_redirect(ifindex, 0) & 7;
}

/* One hop less, and `change` in what the IP checksum covers. */
static __always_inline void plain_hop(const struct plain *p, bool v6, __u64 change)
{
	struct iphdr4 *ip = p->data + ETH_HLEN;
	struct iphdr6 *ip6 = p->data + ETH_HLEN;

	if (v6) {
		ip6->hops = p->ttl - 1;
		return;
	}
	ip->ttl = p->ttl - 1;
	if (change)
		ip->check = csum_apply(ip->check, change + csum_change16(bpf_htons(0x0100), 0));
	else
		ip->check = csum_less_hop(ip->check);
}

static __always_inline int send_plain(const struct plain *p, bool v6, const struct macs *macs, __u32 ifindex)
{
	put_macs(p->data, macs);
	plain_hop(p, v6, 0);
	return plain_redirect(p, ifindex);
}

static __always_inline void plain_address(const struct plain *p, bool v6, bool source, const struct addr *addr)
{
	struct iphdr4 *ip = p->data + ETH_HLEN;
	struct iphdr6 *ip6 = p->data + ETH_HLEN;

	if (v6 && source)
		ip6->saddr = *addr;
	else if (v6)
		ip6->daddr = *addr;
	else if (source)
		ip->saddr = addr->w[3];
	else
		ip->daddr = addr->w[3];
}

/* The transport checksum, complete in XDP; see rewrite.h. */
static __always_inline void plain_check(const struct plain *p, bool v6, __u64 change)
{
	void *l4 = p->data + ETH_HLEN + ip_size(v6);
	struct tcp *t = l4;
	struct udp *u = l4;

	if (p->protocol == IPPROTO_TCP) {
		/* Always there; the verifier of Linux 6.1 has forgotten that it was seen. */
		if ((void *)(t + 1) <= ctx_end(p->ctx))
			t->check = csum_apply(t->check, change);
	} else if (u->check)
		u->check = csum_apply(u->check, change) ?: 0xffff;
}

static __always_inline bool plain_check_tc(const struct plain *p, bool v6, __u64 addr_change, __u64 port_change)
{
	__u32 at = ETH_HLEN + ip_size(v6) + check_offset(p->protocol);

	return fix_transport_tc(p->ctx, at, p->protocol, addr_change, port_change);
}

/* Gives the packet a new source (or destination) and sends it. */
static __always_inline int send_masked(const struct plain *p, bool v6, bool source, const struct addr *addr,
				       __be16 port, const struct macs *macs, __u32 ifindex)
{
	struct ports *ports = p->data + ETH_HLEN + ip_size(v6);
	__be16 old = source ? p->sport : p->dport;
	__u64 change = csum_change_addr(source ? &p->saddr : &p->daddr, addr, v6);
	__u64 port_change = port == old ? 0 : csum_change16(old, port);

	put_macs(p->data, macs);
	plain_address(p, v6, source, addr);
	plain_hop(p, v6, change);
	if (source)
		ports->source = port;
	else
		ports->dest = port;
	if (xdp)
		plain_check(p, v6, change + port_change);
	else if (!plain_check_tc(p, v6, change, port_change))
		return failed();
	return plain_redirect(p, ifindex);
}

static __always_inline bool plain_summed(const struct plain *p, const struct dest *d)
{
	return encap_summed(d) && !p->gso;
}

/* Is it a tunnel of the packet's own family, whose checksum, if it has one,
 * follows from the packet's headers? */
static __always_inline bool plain_tunnel(const struct plain *p, bool v6, const struct dest *d,
					 const struct nexthop *n)
{
	struct udp *u = p->data + ETH_HLEN + ip_size(v6);

	if (!!(d->flags & DEST_V6) != v6 || !tunnel_ready(n) || encap_type(d) > ENCAP_GUE)
		return false;
	if (encap_type(d) == ENCAP_IPIP || !plain_summed(p, d) || p->protocol == IPPROTO_TCP)
		return true;
	return u->check && bpf_ntohs(u->len) == p->len - ip_size(v6);
}

/* The sum of the packet, its hop count taken down. */
static __always_inline __u64 plain_sum(const struct plain *p, bool v6)
{
	__u32 *head = p->data + ETH_HLEN;

	return sum_that_follows(head[0], head[1], head[2], v6, p->len - ip_size(v6), p->protocol);
}

static __always_inline bool plain_room(const struct plain *p, bool v6, __u32 size, bool gue)
{
	__u64 flags = v6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

	if (xdp)
		return !bpf_xdp_adjust_head(p->ctx, -(int)size);
	if (gue)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	return !bpf_skb_adjust_room(p->ctx, size, BPF_ADJ_ROOM_MAC, flags | BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* Wraps the packet in IP, and in GUE, and sends it. `gue` is a constant where
 * this is inlined, so that all sizes are. */
static __always_inline int wrap_in(struct plain *p, bool v6, const struct dest *d, const struct nexthop *n, bool gue)
{
	__u32 size = ip_size(v6) + (gue ? sizeof(struct gue) : 0);
	struct inner in = {.len = p->len, .tos = p->tos, .ttl = p->ttl, .v6 = v6, .df = p->df};
	bool summed = gue && plain_summed(p, d);
	__u64 sum;
	void *l3;

	plain_hop(p, v6, 0);
	sum = summed ? plain_sum(p, v6) : 0;
	if (!plain_room(p, v6, size, gue))
		return failed();
	p->data = ctx_data(p->ctx);
	l3 = p->data + ETH_HLEN;
	if (l3 + size > ctx_end(p->ctx))
		return failed();
	((struct ethhdr *)p->data)->h_proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	put_macs(p->data, &n->macs);
	if (v6)
		outer_head6(l3, &in, d, n, size, gue ? IPPROTO_UDP : IPPROTO_IPV6);
	else
		outer_head4(l3, &in, d, n, size, gue ? IPPROTO_UDP : IPPROTO_IPIP);
	if (gue)
		gue_head(l3 + ip_size(v6), &in, d, n, hash_port(p->hash), summed, sum);
	return plain_redirect(p, n->ifindex);
}

static __always_inline int send_wrapped(struct plain *p, bool v6, const struct dest *d, const struct nexthop *n)
{
	return encap_type(d) == ENCAP_GUE ? wrap_in(p, v6, d, n, true) : wrap_in(p, v6, d, n, false);
}
