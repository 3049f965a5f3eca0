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

/* Reads the headers. False: they are not of the plainest kind. */
static __always_inline bool plain_transport(struct plain *p, void *l4, void *end)
{
	struct tcp *t = l4;
	struct udp *u = l4;

	if (p->protocol == IPPROTO_TCP) {
		/* An ACK and none of FIN, SYN and RST: what is established stays so. */
		if ((void *)(t + 1) > end || (t->flags & 0x17) != 0x10)
			return false;
		p->state = STATE_ESTABLISHED;
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
	const struct addr *client = out ? &p->daddr : &p->saddr;
	__u64 *e;

	p->client[0] = client->w[0] | (__u64)client->w[1] << 32;
	p->client[1] = client->w[2] | (__u64)client->w[3] << 32;
	p->key = flow_key(v6, client, out ? p->dport : p->sport, out ? 0 : p->dport);
	p->hash = flow_hash_of(v6, p->protocol, p->client, p->key);
	e = home(p, v6, out, 0);
	return e ?: home(p, v6, out, 1);
}

/* Restarts the connection's timer, which is a change once in a tick. False:
 * another CPU was faster. */
static __always_inline bool keep(const struct plain *p, __u64 *ctl, __u64 word)
{
	__u32 zero = 0;
	struct settings *set = bpf_map_lookup_elem(&setting, &zero);
	__u64 next;

	if (!set)
		return false;
	next = (__u32)word | (__u64)(p->now + set->timeout[p->state & (TIMEOUT_COUNT - 1)]) << CTL_EXPIRES_SHIFT;
	return next == word || __sync_bool_compare_and_swap(ctl, word, next);
}

static __always_inline bool resolved(const struct nexthop *n)
{
	__u32 want = xdp ? NEXTHOP_RESOLVED | NEXTHOP_XDP : NEXTHOP_RESOLVED;

	return n->ifindex && (n->flags & want) == want && !n->learned_mtu;
}

/* Can the destination be sent to at once? */
static __always_inline bool open_way(const struct plain *p, bool v6, const struct dest *d, const struct nexthop *n, __u8 forward)
{
	__u32 room;

	if ((d->flags & (DEST_AVAILABLE | DEST_LOCAL)) != DEST_AVAILABLE || !resolved(n))
		return false;
	room = room_on_way(d, n, forward == FORWARD_TUNNEL);
	if (room && p->segment > room)
		return false;
	return forward != FORWARD_TUNNEL || plain_tunnel(p, v6, d, n);
}

/* To its real server. False: it has to take the long road. */
static __always_inline bool short_request(struct plain *p, bool v6, int *action)
{
	__u64 *e = plain_find(p, v6, false), word;
	struct nexthop *n;
	struct dest *d;
	__u32 id, hop;
	__u8 forward;

	if (!e)
		return false;
	e += STRIDE(v6) - 1;
	word = READ_ONCE(*e);
	id = ctl_dest(word);
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d || d->protocol != p->protocol || !same_end(v6, &d->vaddr, &p->daddr) || ctl_state(word) != p->state)
		return false;
	hop = d->nexthop;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	forward = word & CTL_FORWARD_MASK;
	if (!n || !open_way(p, v6, d, n, forward) || !keep(p, e, word))
		return false;
	count_in(id, p->len);
	count_verdict(V_FORWARDED);
	if (forward == FORWARD_MASQ)
		*action = send_masked(p, v6, false, &d->addr, d->port ?: p->dport, n->dmac, n->smac, n->ifindex);
	else if (forward == FORWARD_TUNNEL)
		*action = send_wrapped(p, v6, d, n);
	else
		*action = send_plain(p, v6, n->dmac, n->smac, n->ifindex);
	return true;
}

/* Back to its client. */
static __always_inline bool short_reply(struct plain *p, bool v6, int *action)
{
	__u64 *e = plain_find(p, v6, true), word;
	struct asked a = {.ctx = p->ctx, .segment = p->segment, .protocol = p->protocol, .v6 = v6};
	struct known_way *w;
	struct dest *d;
	__be16 vport;
	__u32 id;

	if (!e)
		return false;
	vport = key_vport(READ_ONCE(e[STRIDE(v6) - 2]), v6);
	e += STRIDE(v6) - 1;
	word = READ_ONCE(*e);
	id = ctl_dest(word);
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d || word & CTL_FORWARD_MASK || d->protocol != p->protocol || ctl_state(word) != p->state)
		return false;
	if (p->sport != (d->port ?: vport) || !same_end(v6, &d->addr, &p->saddr))
		return false;
	w = way_back(&a, &d->vaddr, &p->daddr, p->now);
	if (!w || p->segment > w->way.mtu || (xdp && !w->xdp_sends) || !keep(p, e, word))
		return false;
	count_out(id, p->len);
	count_verdict(V_REPLIED);
	*action = send_masked(p, v6, true, &d->vaddr, vport, w->way.dmac, w->way.smac, w->way.ifindex);
	return true;
}

/* The road of a packet whose family is known. */
static __always_inline bool plain_road(struct plain *p, bool v6, void *data, void *end, int *action)
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
	if ((to | from) & WIDE || p->ttl <= 1)
		return false;
	if (!plain_frame(p, v6, data, end) || !for_us(p->ctx) || martian(v6, &p->saddr))
		return false;
	p->now = ticks_now();
	if (from) {
		if (short_reply(p, v6, action))
			return true;
		if (have(HAVE_STRAYS))
			return false;
	}
	return to && short_request(p, v6, action);
}

/* Whether the packet went the short road, and where to. A function of its own,
 * whose stack is not the long road's too. */
static __noinline bool short_road(void *ctx, __be16 ethertype, int *action)
{
	void *data = ctx_data(ctx), *end = ctx_end(ctx);
	struct plain p = {.ctx = ctx, .data = data};

	if (ethertype == bpf_htons(ETH_P_IP))
		return plain_road(&p, false, data, end, action);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return plain_road(&p, true, data, end, action);
	return false;
}
