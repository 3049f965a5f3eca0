/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * ICMP errors about a tunnel itself (tc only): a router between the director
 * and a real server speaks of the outer packet, whose source is the director.
 * What it quotes behind the tunnel's headers is the client's request, so the
 * connection is found by it. "Too big" makes the way to that real server
 * narrower for ten minutes; whatever else was said is said to the client, from
 * the service's address and about the client's own packet.
 */
#pragma once

#include "related.h"

#define LEARNED_TICKS (600ull * 1000000000 >> TICK_SHIFT) /* net.ipv4.route.mtu_expires */
#define LEAST_LEARNED 552 /* net.ipv4.route.min_pmtu: smaller is no router's word */

/* Reads an IP header; over IPv6 only the transport may follow it, as it does in
 * the director's own packets. */
static __always_inline int parse_plain(struct packet *q, bool v6)
{
	struct iphdr6 *ip;

	if (!v6)
		return parse_ipv4(q);
	ip = packet_at(q, q->l3, sizeof(*ip));
	if (!ip || (bpf_ntohl(ip->flow) >> 28) != 6)
		return V_MALFORMED;
	q->v6 = true;
	q->len = bpf_ntohs(ip->payload) + sizeof(*ip);
	q->ttl = ip->hops;
	q->protocol = ip->next;
	q->l4 = q->l3 + sizeof(*ip);
	q->saddr = ip->saddr;
	q->daddr = ip->daddr;
	return V_NONE;
}

/* Where the request begins inside what was quoted, and whether it is there. */
static __always_inline bool find_inner(const struct packet *q, struct packet *i)
{
	__u16 flags;

	if (q->later)
		return false;
	i->l3 = q->l4;
	if (q->protocol == IPPROTO_UDP) {
		struct gue *g = packet_at(q, q->l4, sizeof(*g));

		if (!g || g->version || g->flags)
			return false;
		i->protocol = g->protocol;
		i->dport = g->dport;
		i->l3 += sizeof(*g);
	} else if (q->protocol == IPPROTO_GRE) {
		struct gre *g = packet_at(q, q->l4, sizeof(*g));

		if (!g)
			return false;
		flags = bpf_ntohs(g->flags);
		if (flags & ~GRE_CHECKSUM)
			return false;
		i->protocol = g->protocol == bpf_htons(ETH_P_IP)   ? IPPROTO_IPIP :
			      g->protocol == bpf_htons(ETH_P_IPV6) ? IPPROTO_IPV6 :
								     0;
		i->l3 += flags ? sizeof(struct gre_sum) : sizeof(*g);
	} else {
		i->protocol = q->protocol; /* IP in IP */
	}
	return i->protocol == IPPROTO_IPIP || i->protocol == IPPROTO_IPV6;
}

/* The tunnel packet an error speaks of. */
struct outside {
	struct addr to;
	__be16 port; /* of GUE */
	__u8 protocol;
};

/* Reads the headers of the tunnel packet and of the request in it. A function
 * of its own for the sake of the stack. */
static __noinline bool parse_tunnelled(struct __sk_buff *skb, const struct packet *p, struct packet *i,
				       struct outside *o)
{
	struct packet q = {.ctx = skb, .l3 = p->l4 + sizeof(struct icmp)};

	i->ctx = skb;
	if (parse_plain(&q, p->v6) || !watched(&q.daddr) || !find_inner(&q, i))
		return false;
	o->to = q.daddr;
	o->protocol = q.protocol;
	o->port = i->dport;
	if (parse_plain(i, i->protocol == IPPROTO_IPV6))
		return false;
	return !i->later && !parse_ends(i);
}

/* Was it this destination's tunnel? */
static __always_inline bool tunnel_of(const struct dest *d, const struct outside *o)
{
	if (!same_addr(&d->addr, &o->to))
		return false;
	switch (encap_type(d)) {
	case ENCAP_GUE:
		return o->protocol == IPPROTO_UDP && o->port == d->tunnel_port;
	case ENCAP_GRE:
		return o->protocol == IPPROTO_GRE;
	}
	return o->protocol == IPPROTO_IPIP || o->protocol == IPPROTO_IPV6;
}

static __always_inline bool icmp_sum_right(struct __sk_buff *skb, const struct packet *p)
{
	__u32 len = p->len - (p->l4 - p->l3);
	__u64 sum = 0;

	if (p->v6) {
		sum = bpf_htons(len) + bpf_htons(IPPROTO_ICMPV6);
		for (int i = 0; i < 4; i++)
			sum += (__u64)p->saddr.w[i] + p->daddr.w[i];
	}
	return sum_range(skb, p->l4, len, &sum, p->len) && csum_fold(sum) == 0xffff;
}

/* Takes down what a router said about the size of the way, as the kernel's
 * routes do: only downwards, and for a while. */
static __always_inline void learn_mtu(struct nexthop *n, bool v6, __u32 mtu)
{
	__u32 least = v6 ? LEAST_MTU6 : LEAST_LEARNED, now = ticks_now();

	if (mtu < least)
		mtu = least;
	if (explaining || mtu >= way_mtu(n, now))
		return;
	n->learned_mtu = mtu;
	n->learned_until = now + LEARNED_TICKS;
}

/* Has the client told of its packet i, which lies somewhere in p: what stands
 * before it is cut off, and then it is answered like any other. */
static __always_inline int tell_client(struct __sk_buff *skb, struct packet *p, struct packet *i)
{
	__u32 cut = i->l3 - p->l3;

	i->quote = p->len - cut;
	if (bpf_skb_adjust_room(skb, -(__s32)cut, BPF_ADJ_ROOM_MAC, 0))
		return V_HELPER;
	i->l3 -= cut;
	i->l4 -= cut;
	i->answering = ANSWER_ROUTED;
	*p = *i;
	return V_ICMP_FORWARDED;
}

/* What is looked for, and what is found; too large for the stack here. */
struct hearing {
	struct flow flow;
	struct conn conn;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hearing);
} hearings SEC(".maps");

/* The destination whose tunnel carried request i, or 0. */
static __noinline __u32 tunnel_dest(const struct packet *i, const struct outside *o)
{
	__u32 zero = 0, id;
	struct hearing *h = bpf_map_lookup_elem(&hearings, &zero);
	struct dest *d;

	if (!h)
		return 0;
	flow_request(&h->flow, i);
	if (!conn_find(&h->flow, &h->conn) || (h->conn.word & CTL_FORWARD_MASK) != FORWARD_TUNNEL)
		return 0;
	id = ctl_dest(h->conn.word);
	d = bpf_map_lookup_elem(&dests, &id);
	return d && tunnel_of(d, o) ? id : 0;
}

/* V_NOT_OURS: the error is about no tunnel. Global, so that the verifier reads
 * it once; only tc programs may call it, because of its context. */
__noinline int tunnel_error(struct __sk_buff *skb, struct packet *p)
{
	struct outside o = {};
	struct packet i = {};
	struct icmp *said;
	struct nexthop *n;
	struct dest *d;
	__u32 id;
	bool size;

	if (!p || !parse_tunnelled(skb, p, &i, &o))
		return V_NOT_OURS;
	id = tunnel_dest(&i, &o);
	d = id ? bpf_map_lookup_elem(&dests, &id) : NULL;
	if (!d)
		return V_NOT_OURS;
	if (!icmp_sum_right(skb, p))
		return V_MALFORMED;
	said = bytes_at(skb, p->l4, sizeof(*said));
	if (!said)
		return V_MALFORMED;
	i.answer = *said;
	id = d->nexthop;
	n = bpf_map_lookup_elem(&nexthops, &id);
	size = p->v6 ? i.answer.type == 2 : i.answer.type == 3 && i.answer.code == 4;
	if (size && n) {
		learn_mtu(n, p->v6, p->v6 ? bpf_ntohs(i.answer.word) << 16 | bpf_ntohs(i.answer.mtu) : bpf_ntohs(i.answer.mtu));
		icmp_size(&i.answer, p->v6, room_on_way(d, n, true));
	}
	/* In the other family the client hears of the size when it next sends
	 * too much, and of the rest not at all; a client that lets its packets be
	 * fragmented wants to know of no size. */
	if (i.v6 != p->v6 || (size && i.may_fragment))
		return V_TUNNEL_ERROR;
	trace(STEP_ANSWER, ICMP_TOO_BIG, 0);
	return tell_client(skb, p, &i);
}
