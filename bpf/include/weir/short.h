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

/* What one short road says of a packet whose connection may be in the other's
 * table: as action, which stays so on the way there. */
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
	struct port *port;

	if (!xdp)
		return for_us(p->ctx);
	p->in = ingress_index(p->ctx);
	port = bpf_map_lookup_elem(&ports, &p->in);
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

/* To the real server, to this port if it is masqueraded. False: the packet has
 * to take the long road. */
static __always_inline bool to_server(struct plain *p, bool v6, const struct found *c, __be16 port, int *action)
{
	__u8 forward = c->word & CTL_FORWARD_MASK;
	__u32 hop = c->d->nexthop;
	struct nexthop *n = bpf_map_lookup_elem(&nexthops, &hop);

	if (!n || !open_way(p, v6, c->d, n, forward) || !keep(p, c->ctl, c->word))
		return false;
	count_in(c->id, p->len);
	count_verdict(V_FORWARDED);
	if (forward == FORWARD_MASQ)
		*action = send_masked(p, v6, false, &c->d->addr, port, &n->macs, n->ifindex);
	else if (forward == FORWARD_TUNNEL)
		*action = send_wrapped(p, v6, c->d, n);
	else
		*action = send_plain(p, v6, &n->macs, n->ifindex);
	return true;
}

/* Back to the client, from the address it knows. */
static __always_inline bool to_client(struct plain *p, bool v6, const struct found *c, const struct addr *vaddr,
				      __be16 vport, int *action)
{
	struct asked a = {.ctx = p->ctx, .segment = p->segment, .protocol = p->protocol, .v6 = v6};
	struct known_way *w = way_back(&a, vaddr, &p->daddr, p->now);

	if (!w || p->segment > w->way.mtu || (xdp && !w->xdp_sends) || !keep(p, c->ctl, c->word))
		return false;
	count_out(c->id, p->len);
	count_verdict(V_REPLIED);
	*action = send_masked(p, v6, true, vaddr, vport, &w->way.macs, w->way.ifindex);
	return true;
}

static __always_inline bool short_request(struct plain *p, bool v6, int *action)
{
	__u64 *e = plain_find(p, v6, false);
	struct found c;

	if (!e || !found_at(&c, &e[STRIDE(v6) - 1]))
		return false;
	if (c.d->protocol != p->protocol || !same_end(v6, &c.d->vaddr, &p->daddr) || ctl_state(c.word) != p->state)
		return false;
	return to_server(p, v6, &c, c.d->port ?: p->dport, action);
}

static __always_inline bool short_reply(struct plain *p, bool v6, int *action)
{
	__u64 *e = plain_find(p, v6, true);
	struct found c;
	__be16 vport;

	if (!e || !found_at(&c, &e[STRIDE(v6) - 1]))
		return false;
	vport = key_vport(READ_ONCE(e[STRIDE(v6) - 2]), v6);
	if (c.word & CTL_FORWARD_MASK || c.d->protocol != p->protocol || ctl_state(c.word) != p->state)
		return false;
	if (!(c.d->flags & DEST_AVAILABLE))
		return false; /* not counted */
	if (p->sport != (c.d->port ?: vport) || !same_end(v6, &c.d->addr, &p->saddr))
		return false;
	return to_client(p, v6, &c, &c.d->vaddr, vport, action);
}

#include "short_wide.h"

/* Answers first, as on the long road: a real server may be a client too. */
static __always_inline bool narrow_road(struct plain *p, bool v6, __u32 to, __u32 from, int *action)
{
	if (from) {
		if (short_reply(p, v6, action))
			return true;
		if (have(HAVE_STRAYS))
			return false;
	}
	return to && short_request(p, v6, action);
}

/* The road of a packet whose family is known. */
static __always_inline bool plain_road(struct plain *p, bool v6, void *data, void *end, bool wide, int *action)
{
	__u32 from, to;

	if (!(v6 ? plain_ipv6(p, data, end) : plain_ipv4(p, data, end)))
		return false;
	to = watch(&p->daddr);
	from = watch(&p->saddr);
	if (!(to | from)) {
		/* What XDP passes meets the tc program, and is counted there. */
		if (!xdp)
			count_verdict(V_NOT_OURS);
		*action = pass_action();
		return true;
	}
	if (p->state == STATE_CHANGES)
		return false;
	if (!wide && (to | from) & WIDE && *action != TRY_NARROW) {
		*action = TRY_WIDE;
		return false;
	}
	if (p->ttl <= 1 || !plain_frame(p, v6, data, end) || !plain_for_us(p) || martian(v6, &p->saddr) ||
	    (!v6 && !sums_to_ones(sum_ipv4(data + ETH_HLEN))))
		return false;
	p->now = ticks_now();
	return wide ? wide_road(p, v6, to, from, action) : narrow_road(p, v6, to, from, action);
}

static __always_inline bool plain_roads(void *ctx, __be16 ethertype, bool wide, int *action)
{
	void *data = ctx_data(ctx), *end = ctx_end(ctx);
	struct plain p = {.ctx = ctx, .data = data};

	if (ethertype == bpf_htons(ETH_P_IP))
		return plain_road(&p, false, data, end, wide, action);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return plain_road(&p, true, data, end, wide, action);
	return false;
}

/* Two functions, whose stacks are neither each other's nor the long road's. */
static __noinline bool short_road_narrow(void *ctx, __be16 ethertype, int *action)
{
	return plain_roads(ctx, ethertype, false, action);
}

static __noinline bool short_road_wide(void *ctx, __be16 ethertype, int *action)
{
	return plain_roads(ctx, ethertype, true, action);
}

/* Whether the packet went the short road, and where to. */
static __always_inline bool short_road(void *ctx, __be16 ethertype, int *action)
{
	if (short_road_narrow(ctx, ethertype, action))
		return true;
	if (*action == TRY_WIDE) {
		*action = UNDECIDED;
		if (short_road_wide(ctx, ethertype, action))
			return true;
		if (*action == TRY_NARROW && short_road_narrow(ctx, ethertype, action))
			return true;
	}
	*action = UNDECIDED;
	return false;
}
