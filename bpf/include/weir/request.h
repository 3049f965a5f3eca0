/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The road of a request: known connection, else service, else a new
 * connection; then to its real server by gate or masq, or to the director
 * itself. */
#pragma once

#include "choice.h"
#include "conn_step.h"
#include "frag.h"
#include "ftp.h"
#include "icmp.h"
#include "sched.h"
#include "send.h"
#include "service.h"
#include "template.h"
#include "tunnel.h"

/*
 * Does this SYN begin a new connection where the table still has an old one
 * (IPVS.md e.8)? If the old one is over, yes, unless conn_reuse_mode says no
 * or a template holds it. If its real server takes no new connections, also
 * from every state but ESTABLISHED: clients use their ports again within
 * minutes, and IPVS would lead them to the dead server for as long
 * (docs/differences.md); with expire_nodest_conn from every state.
 */
static __always_inline bool reopens(const struct packet *p, const struct conn *c)
{
	__u32 state = ctl_state(c->word), id = ctl_dest(c->word);
	struct dest *d;

	bool sctp = p->protocol == IPPROTO_SCTP;

	if (sctp ? p->chunk != CHUNK_INIT : p->protocol != IPPROTO_TCP || !p->syn)
		return false;
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d)
		return true;
	if (!d->weight && (!ctl_established(c->word) || sys_on(SYS_EXPIRE_NODEST)))
		return true;
	if (!ctl_established(c->word) && !(d->flags & DEST_AVAILABLE))
		return true;
	if (!setting.reuse_mode || c->parent)
		return false;
	if (sctp)
		return state == S_CL;
	return state == TW || state == CL || (setting.reuse_mode & 2 && state == FW && c->word & CTL_NOOUTPUT);
}

/* Is the connection's real server gone, and the connection not worth keeping? */
static __always_inline bool orphaned(const struct conn *c)
{
	__u32 id = ctl_dest(c->word);
	struct dest *d;

	if (!sys_on(SYS_EXPIRE_NODEST))
		return false;
	d = bpf_map_lookup_elem(&dests, &id);
	return !d || !(d->flags & DEST_AVAILABLE);
}

/* What kind of packet may open a connection (a.4)? */
static __always_inline bool opening(const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP && (p->rst || !(p->syn || sys_on(SYS_SLOPPY_TCP))))
		return false;
	if (p->protocol == IPPROTO_SCTP &&
	    (p->chunk == CHUNK_NONE || sctp_aborts(p) || !(p->chunk == CHUNK_INIT || sys_on(SYS_SLOPPY_SCTP))))
		return false;
	return true;
}

/* drop_packet: is it this packet's turn to be turned away (e.10)? */
static __always_inline bool throttled(void)
{
	__u32 rate = READ_ONCE(setting.drop_rate);

	if (likely(!rate) || explaining)
		return false;
	return __sync_fetch_and_add(&uses.throttle, 1) % rate == 0;
}

/* Nobody to send the packet to: the client is told, unless it came to a port
 * only FTP's service would have had it for (a.5). */
static __always_inline int nobody(const struct packet *p, const struct service *s)
{
	trace(STEP_NONE_LEFT, 0, 0);
	if (s->port == bpf_htons(21) && p->dport != bpf_htons(21))
		return V_NO_SERVICE;
	if (xdp)
		return V_DEFERRED;
	if (s->flags & SERVICE_MARK && sys_on(SYS_CACHE_BYPASS) && reachable(p, &p->daddr))
		return V_BYPASSED;
	return V_NO_DESTINATION;
}

/* The destination for a new connection, with its template if the service is
 * persistent; 0: nobody. */
static __always_inline __u32 choose(const struct packet *p, const struct flow *f, __u32 service,
				    const struct service *s, struct conn *c)
{
	struct hash_key key;
	__u32 id;

	if (s->persistence) {
		id = template_use(f, service, 0, &c->parent);
		if (id)
			return id;
	} else if (!(s->flags & SERVICE_MARK) && s->port != p->dport) {
		return 0; /* without persistence a service is for its own port */
	}
	hash_key_make(&key, p);
	id = s->flags & SERVICE_CACHE ? cache_look(s->set, &key) : 0;
	if (id)
		return id;
	id = schedule(s->set, &key);
	if (id && s->flags & SERVICE_CACHE)
		cache_note(s->set, &key, id);
	return id;
}

/* Opens a connection: V_NONE, or why not. Fills c as if it had been found.
 * `quoted`: the packet is not there, an ICMP error speaks of it. */
static __always_inline int open_conn(const struct packet *p, struct flow *f, struct conn *c, bool quoted)
{
	__u32 service = joins(p) ? 0 : service_of(p), id;
	struct service *s;
	struct dest *d;
	__u32 left;

	/* AH and ESP are never scheduled. */
	s = service ? bpf_map_lookup_elem(&services, &service) : NULL;
	if (!s || !s->set) {
		trace(STEP_NO_SERVICE, 0, 0);
		return V_NO_SERVICE;
	}
	trace(STEP_SERVICE, service, s->set);
	if (!quoted && !opening(p))
		return V_NOT_OPENING;
	c->once = s->flags & SERVICE_ONE_PACKET && p->protocol == IPPROTO_UDP;
	left = c->once && !xdp ? choice_left(p->ctx) : 0;
	if (!left && throttled())
		return V_THROTTLED;
	/* Port 20 is the server side of active FTP: never scheduled (ip_vs_schedule). */
	if (p->sport == bpf_htons(20))
		return V_NOT_OPENING;
	if (s->flags & SERVICE_SIP && s->persistence && (quoted || !(sip_read(p) && sip_call())))
		return V_NO_CALL_ID;
	c->parent = 0;
	id = left && !s->persistence ? left : choose(p, f, service, s, c);
	d = id ? bpf_map_lookup_elem(&dests, &id) : NULL;
	if (!d) {
		release(c->parent);
		return nobody(p, s);
	}
	if (s->persistence && !c->parent && !template_make(f, service, id, &c->parent))
		return V_TABLE_FULL;
	c->word = quoted ? quoted_word(p, id, d->forward & CTL_FORWARD_MASK, f->now) :
			   first_word(p, id, d->forward & CTL_FORWARD_MASK, f->now);
	c->key = f->key;
	c->vaddr = p->daddr;
	c->vport = p->dport;
	/* A persistent service keeps the port, but where it is the service's own (f.2). */
	c->dport = d->port && (!s->persistence || s->port == p->dport) ? d->port : p->dport;
	if (c->once) {
		release(c->parent);
		if (!explaining && !left)
			count_conn(id);
		return V_NONE;
	}
	if (d->flags & DEST_WIDE) {
		if (wide_insert(f, c)) {
			/* One that begins established, as sloppy_tcp allows, proves its template. */
			if (ctl_established(c->word) && !explaining)
				assure(c->parent);
			if (!explaining)
				count_conn(id);
			return V_NONE;
		}
		release(c->parent);
		return V_TABLE_FULL;
	}
	return conn_insert(f, c->word) ? V_NONE : V_TABLE_FULL;
}

/* To the director itself: unchanged for gate, with a new destination for masq. */
static __always_inline int deliver_local(struct packet *p, const struct dest *d, __be16 port, bool masq)
{
	if (masq && (d->flags & DEST_LOOPBACK))
		return V_LOOPBACK;
	if (masq && !rewrite(p, false, &d->addr, port))
		return V_HELPER;
	return V_LOCAL;
}

/* To a real server. Nothing is changed before it is certain that the packet leaves. */
static __always_inline int send_request(struct packet *p, const struct dest *d, __be16 port, __u8 forward,
					int *action)
{
	__u32 hop = d->nexthop;
	struct nexthop *n = bpf_map_lookup_elem(&nexthops, &hop);

	if (!n)
		return V_NO_ROUTE;
	trace(STEP_NEXTHOP, n->ifindex, n->flags);
	if (forward == FORWARD_MASQ && !rewrite(p, false, &d->addr, port))
		return V_HELPER;
	return hand_over(p, d, n, forward == FORWARD_TUNNEL, action);
}

/* Why the packet cannot be sent to this destination as it is; V_NONE: it can. */
static __always_inline int obstacle(const struct packet *p, const struct dest *d, bool tunnel)
{
	__u32 hop = d->nexthop, room;
	struct nexthop *n;
	int v;

	if (d->flags & DEST_LOCAL)
		return xdp ? V_DEFERRED : V_NONE;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	if (!n)
		return V_NO_ROUTE;
	if (unlikely(!n->ifindex)) {
		v = xdp ? V_DEFERRED : way_lacks(p, &d->addr, n->flags & NEXTHOP_FAILED);
		if (v)
			return v;
	}
	if (p->ttl <= 1)
		return xdp ? V_DEFERRED : V_TTL_EXCEEDED;
	room = room_on_way(d, n, tunnel);
	if (room && p->segment > room)
		return xdp ? V_DEFERRED : V_TOO_BIG;
	if (tunnel && !tunnel_ready(n))
		return V_NO_ROUTE;
	if (!xdp && n->ifindex && n->flags & NEXTHOP_FAILED)
		return V_UNREACHABLE;
	if (xdp && (n->flags & (NEXTHOP_RESOLVED | NEXTHOP_XDP)) != (NEXTHOP_RESOLVED | NEXTHOP_XDP))
		return V_DEFERRED;
	return V_NONE;
}

static __always_inline int obstacle_answer(struct packet *p, const struct dest *d, bool tunnel, int why,
					    int *action)
{
	__u32 hop = d->nexthop;
	struct nexthop *n = bpf_map_lookup_elem(&nexthops, &hop);

	if (why == V_TTL_EXCEEDED)
		return icmp_answer(p, ICMP_TTL, 0, why, action);
	if (why == V_UNREACHABLE && n)
		trace(STEP_NEXTHOP, n->ifindex, n->flags);
	/* IPVS takes the hop off once it has a route, and quotes the packet so. */
	if ((why == V_TOO_BIG || (why == V_UNREACHABLE && n && n->ifindex)) && !decrement_ttl(p))
		return V_HELPER;
	if (why == V_UNREACHABLE)
		return icmp_answer(p, ICMP_NO_HOST, 0, why, action);
	if (why == V_TOO_BIG && n && room_on_way(d, n, tunnel) == 1)
		return why; /* no size would do */
	if (why == V_TOO_BIG)
		return icmp_answer(p, ICMP_TOO_BIG, n ? room_on_way(d, n, tunnel) : 0, why, action);
	return why;
}

static __noinline int request(struct packet *p, int *action)
{
	struct work *w = work(WORK_PACKET), *old = work(WORK_OTHER);
	struct conn *c;
	struct flow *f;
	struct dest *d;
	bool known, tunnel, anew = false;
	__u8 forward;
	__u32 id, at;
	int v;

	if (!w || !old)
		return V_NOT_OURS;
	c = &w->c;
	f = &w->f;
	flow_request(f, p);
	known = conn_find(f, c) || (f->wide && conn_learn(f, c));
	if (known && (reopens(p, c) || orphaned(c))) {
		trace(STEP_REUSED, ctl_state(c->word), 0);
		old->c = *c;
		anew = true;
		known = false;
	}
	if (known) {
		trace(STEP_CONNECTION, ctl_dest(c->word), ctl_state(c->word) | (c->where == IN_HALF) << 8);
	} else {
		trace(STEP_NO_CONNECTION, 0, 0);
		v = open_conn(p, f, c, false);
		/* While the new one is scheduled the old one still counts, as in IPVS. */
		if (anew && v != V_DEFERRED)
			conn_remove(&old->c);
		if (v == V_NO_DESTINATION)
			return icmp_answer(p, ICMP_NO_PORT, 0, v, action);
		if (v)
			return v;
	}
	id = ctl_dest(c->word);
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d || !(d->flags & DEST_AVAILABLE))
		return V_DEST_GONE;
	forward = c->word & CTL_FORWARD_MASK;
	tunnel = forward == FORWARD_TUNNEL;
	v = obstacle(p, d, tunnel);
	if (xdp && v == V_DEFERRED && !known && c->once)
		choice_leave(p->ctx, id);
	if (v == V_DEFERRED || (xdp && ftp_control(p, c) && ftp_where(p, &at)))
		return V_DEFERRED;
	/* A packet that goes no further still moves its connection on and is
	 * counted, as in IPVS. */
	if (known)
		conn_step(f, c);
	count_in(id, p->len);
	if (v)
		return obstacle_answer(p, d, tunnel, v, action);
	if (!xdp && ftp_control(p, c))
		ftp_said(p);
	trace(STEP_FORWARD, id, forward);
	if (p->fragment && !xdp)
		frag_remember(p, id, forward << FRAG_FORWARD, &d->addr);
	if (d->flags & DEST_LOCAL)
		return deliver_local(p, d, c->dport, forward == FORWARD_MASQ);
	return send_request(p, d, c->dport, forward, action);
}
