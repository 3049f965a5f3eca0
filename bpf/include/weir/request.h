/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The road of a request: known connection, else service, else a new
 * connection; then to its real server by gate or masq, or to the director
 * itself. */
#pragma once

#include "conn_step.h"
#include "frag.h"
#include "icmp.h"
#include "sched.h"
#include "send.h"
#include "service.h"
#include "tunnel.h"

/*
 * Does this SYN begin a new connection where the table still has an old one?
 * If the old one is over, yes (IPVS with conn_reuse_mode=1). If its real
 * server takes no new connections, also from every state but ESTABLISHED:
 * clients use their ports again within minutes, and IPVS would lead them to
 * the dead server for as long (docs/differences.md).
 */
static __always_inline bool reopens(const struct packet *p, const struct conn *c)
{
	__u32 state = ctl_state(c->word), id = ctl_dest(c->word);
	struct dest *d;

	if (p->protocol != IPPROTO_TCP || !p->syn || state == ES)
		return false;
	if (state == TW || state == CL)
		return true;
	d = bpf_map_lookup_elem(&dests, &id);
	return !d || !d->weight || !(d->flags & DEST_AVAILABLE);
}

/* Opens a connection: V_NONE, or why not. Fills c as if it had been found. */
static __always_inline int open_conn(const struct packet *p, const struct flow *f, struct conn *c)
{
	__u32 set = service_set(p), id;
	struct hash_key key;
	struct dest *d;

	if (!set) {
		trace(STEP_NO_SERVICE, 0, 0);
		return V_NO_SERVICE;
	}
	if (p->protocol == IPPROTO_TCP && (!p->syn || p->rst))
		return V_NOT_OPENING;
	/* Port 20 is the server side of active FTP: never scheduled (ip_vs_schedule). */
	if (p->sport == bpf_htons(20))
		return V_NOT_OPENING;
	hash_key_make(&key, p);
	id = schedule(set, &key);
	d = id ? bpf_map_lookup_elem(&dests, &id) : NULL;
	if (!d) {
		trace(STEP_NONE_LEFT, 0, 0);
		return xdp ? V_DEFERRED : V_NO_DESTINATION;
	}
	c->word = first_word(p, id, d->forward & CTL_FORWARD_MASK, f->now);
	c->key = f->key;
	return conn_insert(f, c->word) ? V_NONE : V_TABLE_FULL;
}

/* To the director itself: unchanged for gate, with a new destination for masq. */
static __always_inline int deliver_local(struct packet *p, const struct dest *d, bool masq)
{
	if (masq && (d->flags & DEST_LOOPBACK))
		return V_LOOPBACK;
	if (masq && !rewrite(p, false, &d->addr, d->port ?: p->dport))
		return V_HELPER;
	return V_LOCAL;
}

/* To a real server. Nothing is changed before it is certain that the packet leaves. */
static __always_inline int send_request(struct packet *p, const struct dest *d, __u8 forward, int *action)
{
	__u32 hop = d->nexthop;
	struct nexthop *n = bpf_map_lookup_elem(&nexthops, &hop);

	if (!n)
		return V_NO_ROUTE;
	trace(STEP_NEXTHOP, n->ifindex, n->flags);
	if (forward == FORWARD_MASQ && !rewrite(p, false, &d->addr, d->port ?: p->dport))
		return V_HELPER;
	return hand_over(p, d, n, forward == FORWARD_TUNNEL, action);
}

/* Does the kernel know a way, where Go has not said one yet? */
static __always_inline bool reachable(const struct packet *p, const struct dest *d)
{
	struct way w;

	return !find_way(p, &p->saddr, &d->addr, &w);
}

/* Why the packet cannot be sent to this destination as it is; V_NONE: it can. */
static __always_inline int obstacle(const struct packet *p, const struct dest *d, bool tunnel)
{
	__u32 hop = d->nexthop, room;
	struct nexthop *n;

	if (d->flags & DEST_LOCAL)
		return xdp ? V_DEFERRED : V_NONE;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	if (!n)
		return V_NO_ROUTE;
	if (p->ttl <= 1)
		return xdp ? V_DEFERRED : V_TTL_EXCEEDED;
	room = room_on_way(d, n, tunnel);
	if (room && p->segment > room)
		return xdp ? V_DEFERRED : V_TOO_BIG;
	if (tunnel && !tunnel_ready(n))
		return V_NO_ROUTE;
	if (xdp && (n->flags & (NEXTHOP_RESOLVED | NEXTHOP_XDP)) != (NEXTHOP_RESOLVED | NEXTHOP_XDP))
		return V_DEFERRED;
	if (!xdp && !n->ifindex && !reachable(p, d))
		return V_NO_ROUTE;
	return V_NONE;
}

static __always_inline int obstacle_answer(struct packet *p, const struct dest *d, bool tunnel, int why,
					    int *action)
{
	__u32 hop = d->nexthop;
	struct nexthop *n = bpf_map_lookup_elem(&nexthops, &hop);

	if (why == V_TTL_EXCEEDED)
		return icmp_answer(p, ICMP_TTL, 0, why, action);
	/* IPVS takes the hop off before it looks at the size, and quotes it so. */
	if (why == V_TOO_BIG && !decrement_ttl(p))
		return V_HELPER;
	if (why == V_TOO_BIG && n && room_on_way(d, n, tunnel) == 1)
		return why; /* no size would do */
	if (why == V_TOO_BIG)
		return icmp_answer(p, ICMP_TOO_BIG, n ? room_on_way(d, n, tunnel) : 0, why, action);
	return why;
}

static __noinline int request(struct packet *p, int *action)
{
	struct conn c = {};
	struct flow f;
	struct dest *d;
	bool known, tunnel;
	__u8 forward;
	__u32 id;
	int v;

	flow_request(&f, p);
	known = conn_find(&f, &c);
	if (known && reopens(p, &c)) {
		trace(STEP_REUSED, ctl_state(c.word), 0);
		conn_remove(&f, &c);
		known = false;
	}
	if (known) {
		trace(STEP_CONNECTION, ctl_dest(c.word), ctl_state(c.word) | c.half << 8);
	} else {
		trace(STEP_NO_CONNECTION, 0, 0);
		v = open_conn(p, &f, &c);
		if (v == V_NO_DESTINATION)
			return icmp_answer(p, ICMP_NO_PORT, 0, v, action);
		if (v)
			return v;
	}
	id = ctl_dest(c.word);
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d || !(d->flags & DEST_AVAILABLE))
		return V_DEST_GONE;
	forward = c.word & CTL_FORWARD_MASK;
	tunnel = forward == FORWARD_TUNNEL;
	v = obstacle(p, d, tunnel);
	if (v == V_DEFERRED)
		return v;
	/* A packet that goes no further still moves its connection on and is
	 * counted, as in IPVS. */
	if (known)
		conn_step(&f, &c);
	count_in(id, p->len);
	if (v)
		return obstacle_answer(p, d, tunnel, v, action);
	trace(STEP_FORWARD, id, forward);
	if (p->fragment && !xdp)
		frag_remember(p, id, forward << FRAG_FORWARD, &d->addr);
	if (d->flags & DEST_LOCAL)
		return deliver_local(p, d, forward == FORWARD_MASQ);
	return send_request(p, d, forward, action);
}
