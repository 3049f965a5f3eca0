/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The short road. Nearly all packets are of one kind: plain headers, of a
 * connection that is established and stays so, to or from a real server whose
 * next hop is known. They need one look at the filter, one at a bucket, one at
 * the destination and one at the next hop, and everything known about them
 * fits into registers. That is done here, with nothing in the way.
 *
 * What is no business of weir's leaves here, too. Whatever else is not of this
 * kind takes the long road: the packet is untouched until it is certain that it
 * goes the short one, and the long one would have done the same to it.
 * TestShortRoad compares the two. `weir explain` only knows the long one.
 */
#pragma once

#include "conn_step.h"
#include "send.h"
#include "short_send.h"
#include "way.h"

/* What a short road says beside what becomes of a packet: UNDECIDED, it is one for
 * the long road; or its connection may be in the other's table. */
#define TRY_WIDE   (-3)
#define TRY_NARROW (-4)

/* The state of a packet that changes its connection's, which is the long road's
 * business; no entry is in this state. */
#define STATE_CHANGES 0

/* Reads the headers. False: they are not of the plainest kind. */
static __always_inline bool plain_transport(struct plain *p, void *l4, void *end)
{
	struct tcp *t = l4;
	struct udp *u = l4;

	if (p->protocol == IPPROTO_TCP) {
		if ((void *)(t + 1) > end)
			return false;
		/* An ACK and none of FIN, SYN and RST: what is established stays so. */
		p->state = (t->flags & 0x17) == 0x10 ? STATE_ESTABLISHED : STATE_CHANGES;
		p->header = (t->off >> 4) * 4;
		p->sport = t->source;
		p->dport = t->dest;
		return true;
	}
	if (p->protocol != IPPROTO_UDP || (void *)(u + 1) > end)
		return false;
	p->state = STATE_UDP;
	p->header = sizeof(*u);
	p->sport = u->source;
	p->dport = u->dest;
	return true;
}

static __always_inline bool plain_ipv4(struct plain *p, void *data, void *end)
{
	struct iphdr4 *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return false;
	p->len = bpf_ntohs(ip->len);
	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->df = ip->frag & bpf_htons(IP_DF);
	if (ip->vihl != 0x45 || ip->frag & bpf_htons(IP_MF | IP_OFFSET) || p->len < sizeof(*ip))
		return false;
	map4(&p->saddr, ip->saddr);
	map4(&p->daddr, ip->daddr);
	return plain_transport(p, ip + 1, end);
}

static __always_inline bool plain_ipv6(struct plain *p, void *data, void *end)
{
	struct iphdr6 *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return false;
	if ((ip->flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000) || !ip->payload ||
	    bpf_ntohs(ip->payload) > 0xffff - sizeof(*ip))
		return false;
	p->len = bpf_ntohs(ip->payload) + sizeof(*ip);
	p->protocol = ip->next;
	p->ttl = ip->hops;
	p->tos = bpf_ntohl(ip->flow) >> 20;
	p->saddr = ip->saddr;
	p->daddr = ip->daddr;
	return plain_transport(p, ip + 1, end);
}

/* Is the frame whole, and for this host? Finds out how large the largest
 * packet is that it will become. */
static __always_inline bool plain_frame(struct plain *p, bool v6, void *data, void *end)
{
	__u32 gso, size = ETH_HLEN + p->len;

	p->segment = p->len;
	if (xdp)
		return data + size <= end;
	gso = ctx_field(p->ctx, struct __sk_buff, gso_size);
	if (gso)
		p->segment = ip_size(v6) + p->header + gso;
	p->gso = gso;
	return ctx_field(p->ctx, struct __sk_buff, len) >= size;
}

/* Is it for this host, as for_us has it? Learns what plain_redirect asks. */
static __always_inline bool plain_for_us(struct plain *p)
{
	__u32 in; /* apart from *p, which may then stay in registers */
	struct port *port;

	if (!xdp)
		return for_us(p->ctx);
	in = ingress_index(p->ctx);
	port = bpf_map_lookup_elem(&ports, &in);
	p->in = in;
	if (!port || !for_port(p->data, port))
		return false;
	p->turns = !(port->flags & PORT_VETH);
	return true;
}

static __always_inline void plain_hash(struct plain *p, bool v6, const struct addr *client, __be16 cport,
				       __be16 vport)
{
	p->client[0] = client->w[0] | (__u64)client->w[1] << 32;
	p->client[1] = client->w[2] | (__u64)client->w[3] << 32;
	p->key = flow_key(v6, client, cport, vport);
	p->hash = flow_hash_of(v6, p->protocol, p->client, p->key);
}

/* The entry of a connection in one of its homes. */
static __always_inline __u64 *home(const struct plain *p, bool v6, bool out, __u32 nth)
{
	__u64 *b = bucket_at(v6, false, p->hash, nth);
	__u64 mask = !out ? ~0ull : v6 ? 0xffffull : 0xffffffffffffull;

	if (!b)
		return NULL;
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 *e = b + i * STRIDE(v6), word;

		if ((READ_ONCE(e[STRIDE(v6) - 2]) ^ p->key) & mask)
			continue;
		if (v6 && (e[0] != p->client[0] || e[1] != p->client[1]))
			continue;
		word = READ_ONCE(e[STRIDE(v6) - 1]);
		if (ctl_dest(word) && ctl_alive(word, p->now))
			return e;
	}
	return NULL;
}

/* Finds the connection of a packet, as conn_find does, where there is nothing
 * to choose: its entry is the first that could be it. */
static __always_inline __u64 *plain_find(struct plain *p, bool v6, bool out)
{
	__u64 *e;

	plain_hash(p, v6, out ? &p->daddr : &p->saddr, out ? p->dport : p->sport, out ? 0 : p->dport);
	e = home(p, v6, out, 0);
	return e ?: home(p, v6, out, 1);
}

/* Restarts the connection's timer, which is a change once in a tick. False:
 * another CPU was faster. */
static __always_inline bool keep(const struct plain *p, __u64 *ctl, __u64 word)
{
	__u64 next = (__u32)word | (__u64)(p->now + state_timeout(p->state)) << CTL_EXPIRES_SHIFT;

	return next == word || __sync_bool_compare_and_swap(ctl, word, next);
}

static __always_inline bool resolved(const struct nexthop *n)
{
	__u32 want = xdp ? NEXTHOP_RESOLVED | NEXTHOP_XDP : NEXTHOP_RESOLVED;

	return n->ifindex && (n->flags & want) == want && !n->learned_mtu;
}

/* Can the destination be sent to at once? */
static __always_inline bool open_way(const struct plain *p, bool v6, const struct dest *d, const struct nexthop *n,
				     __u8 forward)
{
	__u32 room;

	if ((d->flags & (DEST_AVAILABLE | DEST_LOCAL)) != DEST_AVAILABLE || !resolved(n))
		return false;
	room = room_on_way(d, n, forward == FORWARD_TUNNEL);
	if (room && p->segment > room)
		return false;
	return forward != FORWARD_TUNNEL || plain_tunnel(p, v6, d, n);
}

/* A connection that was found. */
struct found {
	__u64 *ctl;
	__u64 word;
	__u32 id;
	struct dest *d;
};

static __always_inline bool found_at(struct found *c, __u64 *ctl)
{
	__u64 word = READ_ONCE(*ctl);
	__u32 id = ctl_dest(word); /* apart from *c, which may then stay in registers */

	c->ctl = ctl;
	c->word = word;
	c->id = id;
	c->d = bpf_map_lookup_elem(&dests, &id);
	return c->d;
}

/* To the real server, to this port if it is masqueraded. */
static __always_inline int to_server(struct plain *p, bool v6, const struct found *c, __be16 port)
{
	__u8 forward = c->word & CTL_FORWARD_MASK;
	__u32 hop = c->d->nexthop;
	struct nexthop *n = bpf_map_lookup_elem(&nexthops, &hop);

	if (!n || !open_way(p, v6, c->d, n, forward) || !keep(p, c->ctl, c->word))
		return UNDECIDED;
	count_in(c->id, p->len);
	count_verdict(V_FORWARDED);
	if (forward == FORWARD_MASQ)
		return send_masked(p, v6, false, &c->d->addr, port, &n->macs, n->ifindex);
	if (forward == FORWARD_TUNNEL)
		return send_wrapped(p, v6, c->d, n);
	return send_plain(p, v6, &n->macs, n->ifindex);
}

/* Back to the client, from the address it knows. */
static __always_inline int to_client(struct plain *p, bool v6, const struct found *c, const struct addr *vaddr,
				     __be16 vport)
{
	struct asked a = {.ctx = p->ctx, .segment = p->segment, .protocol = p->protocol, .v6 = v6};
	struct known_way *w = way_back(&a, vaddr, &p->daddr, p->now);

	if (!w || p->segment > w->way.mtu || (xdp && !w->xdp_sends) || !keep(p, c->ctl, c->word))
		return UNDECIDED;
	count_out(c->id, p->len);
	count_verdict(V_REPLIED);
	return send_masked(p, v6, true, vaddr, vport, &w->way.macs, w->way.ifindex);
}

static __always_inline int short_request(struct plain *p, bool v6)
{
	__u64 *e = plain_find(p, v6, false);
	struct found c;

	if (!e || !found_at(&c, &e[STRIDE(v6) - 1]))
		return UNDECIDED;
	if (c.d->protocol != p->protocol || !same_end(v6, &c.d->vaddr, &p->daddr) || ctl_state(c.word) != p->state)
		return UNDECIDED;
	return to_server(p, v6, &c, c.d->port ?: p->dport);
}

static __always_inline int short_reply(struct plain *p, bool v6)
{
	__u64 *e = plain_find(p, v6, true);
	struct found c;
	__be16 vport;

	if (!e || !found_at(&c, &e[STRIDE(v6) - 1]))
		return UNDECIDED;
	vport = key_vport(READ_ONCE(e[STRIDE(v6) - 2]), v6);
	if (c.word & CTL_FORWARD_MASK || c.d->protocol != p->protocol || ctl_state(c.word) != p->state)
		return UNDECIDED;
	if (!(c.d->flags & DEST_AVAILABLE))
		return UNDECIDED; /* not counted */
	if (p->sport != (c.d->port ?: vport) || !same_end(v6, &c.d->addr, &p->saddr))
		return UNDECIDED;
	return to_client(p, v6, &c, &c.d->vaddr, vport);
}

#include "short_wide.h"

/* Answers first, as on the long road: a real server may be a client too. */
static __always_inline int narrow_road(struct plain *p, bool v6, __u32 to, __u32 from)
{
	int action;

	if (from) {
		action = short_reply(p, v6);
		if (action != UNDECIDED || have(HAVE_STRAYS))
			return action;
	}
	return to ? short_request(p, v6) : UNDECIDED;
}

/* `v6` and `wide` are constants where this is inlined. `again`: the wide table was
 * looked through. */
static __always_inline int plain_road(void *ctx, bool v6, bool wide, bool again)
{
	void *data = ctx_data(ctx), *end = ctx_end(ctx);
	struct plain p = {.ctx = ctx, .data = data};
	__u32 from, to;

	if (!(v6 ? plain_ipv6(&p, data, end) : plain_ipv4(&p, data, end)))
		return UNDECIDED;
	to = watch(&p.daddr);
	from = watch(&p.saddr);
	if (!(to | from)) {
		/* What XDP passes meets the tc program, and is counted there. */
		if (!xdp)
			count_verdict(V_NOT_OURS);
		return pass_action();
	}
	if (p.state == STATE_CHANGES)
		return UNDECIDED;
	if (!wide && (to | from) & WIDE && !again)
		return TRY_WIDE;
	if (p.ttl <= 1 || !plain_frame(&p, v6, data, end) || !plain_for_us(&p) || martian(v6, &p.saddr) ||
	    (!v6 && !sums_to_ones(sum_ipv4(data + ETH_HLEN))))
		return UNDECIDED;
	p.now = ticks_now();
	return wide ? wide_road(&p, v6, to, from) : narrow_road(&p, v6, to, from);
}

/* A function for each family and kind of table, whose frame is neither another
 * one's nor the long road's: what is known of a packet then stays in registers. */
static __noinline int narrow4(void *ctx, bool again)
{
	return plain_road(ctx, false, false, again);
}

static __noinline int narrow6(void *ctx, bool again)
{
	return plain_road(ctx, true, false, again);
}

static __noinline int wide4(void *ctx)
{
	return plain_road(ctx, false, true, false);
}

static __noinline int wide6(void *ctx)
{
	return plain_road(ctx, true, true, false);
}

/* What becomes of a packet that goes the short road; UNDECIDED: it does not. */
static __always_inline int short_road(void *ctx, __be16 ethertype)
{
	bool v6 = ethertype == bpf_htons(ETH_P_IPV6);
	int action;

	if (!v6 && ethertype != bpf_htons(ETH_P_IP))
		return UNDECIDED;
	action = v6 ? narrow6(ctx, false) : narrow4(ctx, false);
	if (unlikely(action == TRY_WIDE))
		action = v6 ? wide6(ctx) : wide4(ctx);
	if (unlikely(action == TRY_NARROW))
		action = v6 ? narrow6(ctx, true) : narrow4(ctx, true);
	return action;
}
