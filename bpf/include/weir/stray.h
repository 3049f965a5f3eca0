/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Packets of masqueraded real servers that belong to no connection. With the
 * SIP engine a server may speak first, and its call becomes a connection
 * (IPVS.md f.5); with nat_icmp_send the server is told that nobody listens (i).
 */
#pragma once

#include "icmp.h"
#include "reply.h"
#include "sip.h"
#include "template.h"

/* The destination that sent the packet; 0: none that is masqueraded. */
static __always_inline __u32 sender(const struct packet *p)
{
	struct service_key key = {
		.addr = p->saddr,
		.port = p->sport,
		.protocol = p->protocol,
	};
	__u32 *id = bpf_map_lookup_elem(&reals, &key);

	return id ? *id : 0;
}

/* Enters the connection of a call the destination id begins: 1, or 0. `w` holds
 * the packet's flow, as an answer's. */
__noinline int call_out(__u32 id)
{
	struct work *w = work(WORK_PACKET);
	struct dest *d = bpf_map_lookup_elem(&dests, &id);
	struct service *s;
	struct conn *c;
	__u32 service;

	if (!w || !d || explaining)
		return 0;
	service = d->service;
	s = bpf_map_lookup_elem(&services, &service);
	if (!s)
		return 0;
	c = &w->c;
	w->f.out = false;
	w->f.server = d->vaddr;
	flow_ports(&w->f, key_cport(w->f.key, w->f.v6), d->vport);
	c->v6 = w->f.v6;
	c->parent = 0;
	c->vaddr = d->vaddr;
	c->vport = d->vport;
	c->dport = w->f.sport;
	c->word = ctl_pack(w->f.now + state_timeout(STATE_UDP), id, STATE_UDP, 0);
	if (s->persistence && !template_use(&w->f, service, id, &c->parent) &&
	    !template_make(&w->f, service, id, &c->parent))
		return 0;
	if (wide_insert(&w->f, c)) {
		count_conn(id);
		return 1;
	}
	release(c->parent);
	return 0;
}

/* Does the engine take a call of this server's? */
static __always_inline bool calls(const struct packet *p, __u32 id)
{
	struct dest *d = bpf_map_lookup_elem(&dests, &id);
	__u32 service;
	struct service *s;

	if (!d || p->protocol != IPPROTO_UDP || !(d->flags & DEST_AVAILABLE))
		return false;
	service = d->service;
	s = bpf_map_lookup_elem(&services, &service);
	return s && s->flags & SERVICE_SIP && !(s->flags & SERVICE_MARK) && s->port &&
	       (!s->persistence || (sip_read(p) && sip_call()));
}

/* Does every datagram of the destination's service stand for itself? */
static __always_inline bool once(__u32 id)
{
	struct dest *d = bpf_map_lookup_elem(&dests, &id);
	__u32 service = d ? d->service : 0;
	struct service *s = bpf_map_lookup_elem(&services, &service);

	return s && s->flags & SERVICE_ONE_PACKET;
}

/* The first packet of a call. */
static __always_inline int call(struct packet *p, __u32 id, int *action)
{
	struct work *w = work(WORK_PACKET);
	int v;

	if (!w || !call_out(id))
		return V_TABLE_FULL;
	v = reply(p, action);
	/* Its connection lasts as long as the packet; w->c is what reply found. */
	if (once(id))
		conn_remove(&w->c);
	return v;
}

static __noinline int stray(struct packet *p, int *action)
{
	__u32 id = sender(p), hop;
	struct nexthop *n;
	struct dest *d;

	if (!id)
		return V_NOT_OURS;
	if (calls(p, id))
		return call(p, id, action);
	if (!sys_on(SYS_NAT_ICMP_SEND) || p->rst || (p->protocol == IPPROTO_SCTP && sctp_aborts(p)))
		return V_NOT_OURS;
	d = bpf_map_lookup_elem(&dests, &id);
	hop = d ? d->nexthop : 0;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	if (!n)
		return V_NOT_OURS;
	/* IPVS notices it on its way through the router: a hop is off already. */
	if (p->ttl <= 1)
		return V_DEFERRED;
	if (!decrement_ttl(p))
		return V_HELPER;
	p->self = hop;
	return icmp_answer(p, ICMP_NO_PORT, 0, V_STRAY, action);
}
