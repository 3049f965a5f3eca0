/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * schedule_icmp: an ICMP error about an answer of a service, of no connection
 * that is known here, opens one (IPVS.md g.4). With several directors behind
 * one address the error may come to another one than the connection; if all
 * choose alike (sh, mh) the same real server hears of it.
 */
#pragma once

#include "related.h"
#include "request.h"

/* Makes of a packet the one it answers. */
static __always_inline void reverse(struct packet *q)
{
	struct addr a = q->saddr;
	__be16 port = q->sport;

	q->saddr = q->daddr;
	q->daddr = a;
	q->sport = q->dport;
	q->dport = port;
}

/* Opens the connection an ICMP error speaks of. V_NONE: the error finds it now. */
static __noinline int open_quoted(const struct packet *p)
{
	struct work *w = work(WORK_PACKET);
	struct packet q = {};

	if (!w || parse_quoted(p, &q) || !watched(&q.saddr))
		return V_NOT_OURS;
	reverse(&q);
	q.to = watch(&q.daddr);
	flow_request(&w->f, &q);
	return open_conn(&q, &w->f, &w->c, true);
}
