/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The road of an answer: a real server's packet that belongs to a connection.
 * Masqueraded ones get the service's address and port as source and are routed
 * to the client.
 *
 * Answers of gate connections come by only where the director is the real
 * servers' router. The kernel's IPVS leaves them to the stack, which drops
 * them as martians, their source being an address of its own; weir routes
 * them (docs/differences.md).
 */
#pragma once

#include "conn_step.h"
#include "frag.h"
#include "ftp.h"
#include "send.h"
#include "service.h"

static __noinline int reply(struct packet *p, int *action)
{
	struct work *w = work(WORK_PACKET);
	struct conn *c;
	struct flow *f;
	__u32 id, at;
	struct way way;
	struct dest *d;
	bool masq;
	int v;

	if (!w)
		return V_NOT_OURS;
	c = &w->c;
	f = &w->f;
	flow_reply(f, p);
	if (!conn_find(f, c))
		return V_NOT_OURS;
	id = ctl_dest(c->word);
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d)
		return V_NOT_OURS;
	trace(STEP_REPLY, id, ctl_state(c->word));
	masq = (c->word & CTL_FORWARD_MASK) == 0;
	/* The stack answers these itself, to the real server, about the packet as it knows it. */
	if (p->ttl <= 1)
		return V_DEFERRED;
	v = find_way(p, masq ? &c->vaddr : &p->saddr, &p->daddr, &way);
	if (v == V_TOO_BIG && !p->may_fragment)
		return V_DEFERRED;
	if (v && !masq)
		return V_NOT_OURS;
	if (v)
		return v;
	if (xdp && ftp_control(p, c) && ftp_where(p, &at))
		return V_DEFERRED;
	conn_step(f, c);
	count_answer(d, id, p->len);
	if (p->fragment && !xdp)
		frag_remember(p, id, FRAG_OUT | (c->word & CTL_FORWARD_MASK) << FRAG_FORWARD, &c->vaddr);
	if (masq && !xdp && ftp_control(p, c) && !ftp_answered(p, c))
		return V_HELPER;
	if (masq && !rewrite(p, true, &c->vaddr, c->vport))
		return V_HELPER;
	if (!decrement_ttl(p))
		return V_HELPER;
	*action = send_way(p, &way);
	return V_REPLIED;
}

/* The director's own answer, on its way out: already routed, only rewritten. */
static __noinline int reply_local(struct packet *p)
{
	struct work *w = work(WORK_PACKET);
	struct conn *c;
	struct flow *f;
	__u32 id;
	struct dest *d;

	if (!w)
		return V_NOT_OURS;
	c = &w->c;
	f = &w->f;
	flow_reply(f, p);
	if (!conn_find(f, c))
		return V_NOT_OURS;
	id = ctl_dest(c->word);
	d = bpf_map_lookup_elem(&dests, &id);
	if (!d || !(d->flags & DEST_LOCAL))
		return V_NOT_OURS;
	conn_step(f, c);
	count_answer(d, id, p->len);
	if ((c->word & CTL_FORWARD_MASK) == 0) {
		if (p->fragment)
			frag_remember(p, id, FRAG_OUT, &c->vaddr);
		if (ftp_control(p, c) && !ftp_answered(p, c))
			return V_HELPER;
		if (!rewrite(p, true, &c->vaddr, c->vport))
			return V_HELPER;
	}
	return V_REPLIED_LOCAL;
}
