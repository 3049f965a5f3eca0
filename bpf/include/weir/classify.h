/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The mark of a packet: the one it carries (tc only; iptables sets its marks
 * later than weir sees the packet), else that of the first rule of weir's own
 * classifier that fits. Asked only for packets that belong to no connection.
 */
#pragma once

#include "maps.h"
#include "parse.h"
#include "send.h"

struct classifying {
	struct addr saddr, daddr;
	__u16 sport, dport;
	__u8 protocol;
	__u32 ifindex;
	__u32 mark;
};

static __always_inline bool in_net(const struct addr *a, const struct addr *net, const struct addr *mask)
{
	for (int i = 0; i < 4; i++)
		if ((a->w[i] ^ net->w[i]) & mask->w[i])
			return false;
	return true;
}

static long rule_turn(__u32 i, struct classifying *c)
{
	struct rule *r = bpf_map_lookup_elem(&rules, &i);

	if (!r)
		return 1;
	if (r->protocol && r->protocol != c->protocol)
		return 0;
	if (r->ifindex && r->ifindex != c->ifindex)
		return 0;
	if (c->dport < r->dport_from || c->dport > r->dport_to || c->sport < r->sport_from || c->sport > r->sport_to)
		return 0;
	if (!in_net(&c->daddr, &r->daddr, &r->dmask) || !in_net(&c->saddr, &r->saddr, &r->smask))
		return 0;
	c->mark = r->mark;
	return 1;
}

static __always_inline __u32 mark_of(const struct packet *p, __u32 rule_count)
{
	struct classifying c = {
		.saddr = p->saddr,
		.daddr = p->daddr,
		.sport = bpf_ntohs(p->sport),
		.dport = bpf_ntohs(p->dport),
		.protocol = p->protocol,
		.ifindex = ingress_index(p->ctx),
	};

	if (!xdp) {
		__u32 mark = ctx_field(p->ctx, struct __sk_buff, mark);

		if (mark)
			return mark;
	}
	c.mark = hidden(0, rule_count);
	bpf_loop(rule_count, rule_turn, &c, 0);
	return c.mark;
}
