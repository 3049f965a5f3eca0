/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * ICMP errors that belong to a connection (tc only), carried to the party that
 * must hear them: a router's complaint about an answer goes to the real
 * server, one about a rewritten request to the client. The quoted packet is
 * given the addresses its sender knows. Its transport checksum is left alone,
 * as IPVS leaves it: too little of the packet is quoted to check it anyway.
 */
#pragma once

#include "conn.h"
#include "tunnel.h"
#include "service.h"

/* The quoted packet's headers, as far as its ports; later parts have none, and
 * only AH and ESP can do without. */
static __always_inline int parse_quoted(const struct packet *p, struct packet *q)
{
	int v;

	q->ctx = p->ctx;
	q->l3 = p->l4 + sizeof(struct icmp);
	v = p->v6 ? parse_ipv6(q) : parse_ipv4(q);
	if (v)
		return V_NOT_OURS;
	return (q->later && !joins(q)) || parse_ends(q) ? V_NOT_OURS : V_NONE;
}

/*
 * Rewrites one end of the quoted packet and the same address outside, and the
 * ICMP checksum. Over IPv4 a changed address and the quoted header's corrected
 * checksum cancel out, so only the port shows in the sum; ICMPv6 covers the
 * outer addresses too.
 */
static __always_inline bool rewrite_quoted(struct packet *p, struct packet *q, bool outer_source,
					   const struct addr *addr, __be16 port)
{
	bool source = !outer_source; /* the quoted packet travelled the other way */
	const struct addr *old = source ? &q->saddr : &q->daddr;
	const struct addr *outer_old = outer_source ? &p->saddr : &p->daddr;
	__u64 inner = csum_change_addr(old, addr, p->v6);
	__u64 outer = csum_change_addr(outer_old, addr, p->v6);
	__u64 change = 0;

	if (!joins(q)) {
		struct ports *ports = packet_at(p, q->l4, sizeof(*ports));

		if (!ports)
			return false;
		change = csum_change16(source ? q->sport : q->dport, port);
		if (source)
			ports->source = port;
		else
			ports->dest = port;
	}
	if (p->v6) {
		struct iphdr6 *in = packet_at(p, q->l3, sizeof(*in));
		struct iphdr6 *out = packet_at(p, p->l3, sizeof(*out));

		if (!in || !out)
			return false;
		if (source)
			in->saddr = *addr;
		else
			in->daddr = *addr;
		if (outer_source)
			out->saddr = *addr;
		else
			out->daddr = *addr;
		if (bpf_l4_csum_replace(p->ctx, p->l4 + 2, 0, csum_fold(outer), BPF_F_PSEUDO_HDR))
			return false;
		change += inner;
	} else {
		struct iphdr4 *in = packet_at(p, q->l3, sizeof(*in));
		struct iphdr4 *out = packet_at(p, p->l3, sizeof(*out));

		if (!in || !out)
			return false;
		if (source)
			in->saddr = addr->w[3];
		else
			in->daddr = addr->w[3];
		in->check = csum_apply(in->check, inner);
		if (outer_source)
			out->saddr = addr->w[3];
		else
			out->daddr = addr->w[3];
		out->check = csum_apply(out->check, outer);
	}
	return !bpf_l4_csum_replace(p->ctx, p->l4 + 2, 0, csum_fold(change), 0);
}

/* About an answer (quoted: service → client): to the real server. */
static __always_inline int related_request(struct packet *p, struct packet *q, const struct conn *c, int *action)
{
	__u32 id = ctl_dest(c->word), hop;
	struct dest *d = bpf_map_lookup_elem(&dests, &id);
	__u8 forward = c->word & CTL_FORWARD_MASK;
	struct nexthop *n;
	int v;

	if (!d)
		return V_DEST_GONE;
	/* A removed server hears of errors, too, as in IPVS; they are not counted. */
	if (d->flags & DEST_AVAILABLE)
		count_in(id, p->len);
	if (!(d->flags & DEST_LOCAL) && p->ttl <= 1)
		return V_TTL_EXCEEDED;
	if (forward == FORWARD_MASQ && !rewrite_quoted(p, q, false, &d->addr, c->dport))
		return V_HELPER;
	if (d->flags & DEST_LOCAL)
		return V_LOCAL;
	hop = d->nexthop;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	if (!n || (forward == FORWARD_TUNNEL && !tunnel_ready(n)))
		return V_NO_ROUTE;
	v = hand_over(p, d, n, forward == FORWARD_TUNNEL, action);
	return v == V_FORWARDED ? V_ICMP_FORWARDED : v;
}

/* About a request (quoted: client → real server): to the client, from the service's address. */
static __noinline int related_reply(struct packet *p, struct packet *q, const struct conn *c, bool leaving,
					 int *action)
{
	__u32 id = ctl_dest(c->word);
	struct dest *d = bpf_map_lookup_elem(&dests, &id);
	struct way w;
	int v;

	if (!d)
		return V_NOT_OURS;
	if ((c->word & CTL_FORWARD_MASK) != 0) {
		/* The client knows the quoted packet as it is. */
		if (!leaving)
			count_answer(d, id, p->len);
		return V_NOT_OURS;
	}
	if (!leaving) {
		if (p->ttl <= 1)
			return V_DEFERRED;
		v = find_way(p, &c->vaddr, &p->daddr, &w);
		if (v)
			return v;
	}
	count_answer(d, id, p->len);
	if (!rewrite_quoted(p, q, true, &c->vaddr, c->vport))
		return V_HELPER;
	if (leaving)
		return V_ICMP_FORWARDED;
	if (!decrement_ttl(p))
		return V_HELPER;
	*action = send_way(p, &w);
	return V_ICMP_FORWARDED;
}

/* The connection a quoted packet belongs to. As it was sent by a real server
 * (an answer) or to one (a request), it is the reverse of what is known. */
static __always_inline bool find_quoted(const struct packet *q, bool request, struct work *w)
{
	struct flow *f = &w->f;

	f->out = request;
	f->server = request ? q->daddr : q->saddr;
	f->wide = watch(&f->server) & WIDE;
	f->sport = request ? q->dport : 0;
	if (request)
		flow_make(f, q, &q->saddr, q->sport, 0);
	else
		flow_make(f, q, &q->daddr, q->dport, q->sport);
	return conn_find(f, &w->c);
}

static __noinline int related(struct packet *p, bool leaving, int *action)
{
	struct work *w = work(WORK_PACKET);
	struct packet q = {};

	if (!w || parse_quoted(p, &q))
		return V_NOT_OURS;
	if (!leaving && watched(&q.saddr) && find_quoted(&q, false, w))
		return related_request(p, &q, &w->c, action);
	if (watched(&q.daddr) && find_quoted(&q, true, w))
		return related_reply(p, &q, &w->c, leaving, action);
	return V_NOT_OURS;
}
