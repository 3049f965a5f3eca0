/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The packet inside: is it whole and for one of our addresses, and what does
 * the congestion its wrapping met mean for it (RFC 6040)?
 *
 * The checksum of a GUE or GRE header is not verified. Everything it covers is
 * summed once more inside, and that the stack verifies; and over a virtual wire
 * the inner checksum may be unfinished, and the outer one with it.
 */
#pragma once

#include "../weir/sum.h"
#include "outer.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct addr);
	__type(value, __u32);
} vips SEC(".maps");

/* What the packet needs once it is unwrapped. */
struct marking {
	__u8 was, now; /* type of service or traffic class */
};

static __always_inline bool inner4(const struct packet *p, const struct wrapped *w, struct addr *to, __u8 *tos)
{
	struct iphdr4 *ip = packet_at(p, w->at, sizeof(*ip));
	__u32 len;

	if (!ip || (ip->vihl >> 4) != 4 || (ip->vihl & 15) < 5)
		return false;
	len = bpf_ntohs(ip->len);
	if (len < (ip->vihl & 15) * 4u || len > w->end - w->at)
		return false;
	map4(to, ip->daddr);
	*tos = ip->tos;
	return true;
}

static __always_inline bool inner6(const struct packet *p, const struct wrapped *w, struct addr *to, __u8 *tos)
{
	struct iphdr6 *ip = packet_at(p, w->at, sizeof(*ip));
	__u32 flow;

	if (!ip)
		return false;
	flow = bpf_ntohl(ip->flow);
	if ((flow >> 28) != 6 || !ip->payload || bpf_ntohs(ip->payload) + sizeof(*ip) > w->end - w->at)
		return false;
	*to = ip->daddr;
	*tos = flow >> 20;
	return true;
}

#define ECN	  3
#define ECN_NONE  0
#define ECN_ECT1  1
#define ECN_ECT0  2
#define ECN_CE	  3

/* Figure 4 of RFC 6040. False: the packet must be dropped, since its sender
 * would not understand the mark. */
static __always_inline bool congestion(__u8 outer, struct marking *m)
{
	m->now = m->was;
	if ((outer & ECN) == ECN_CE) {
		if ((m->was & ECN) == ECN_NONE)
			return false;
		m->now = m->was | ECN_CE;
	} else if ((outer & ECN) == ECN_ECT1 && (m->was & ECN) == ECN_ECT0) {
		m->now = (m->was & ~ECN) | ECN_ECT1;
	}
	return true;
}

static __always_inline bool sum_fits(const struct wrapped *w)
{
	__u32 len = w->end - w->at;

	return !w->remote || (w->sum_start <= len && w->sum_at + 2u <= len);
}

static __always_inline int look_inside(const struct packet *p, struct wrapped *w, struct marking *m)
{
	struct addr to = {};

	if (w->end < w->at)
		return F_MALFORMED;
	if (w->next == IPPROTO_IPV6)
		w->inner6 = true;
	else if (w->next != IPPROTO_IPIP)
		return F_UNKNOWN;
	if (!(w->inner6 ? inner6(p, w, &to, &m->was) : inner4(p, w, &to, &m->was)) || !sum_fits(w))
		return F_MALFORMED;
	if (!bpf_map_lookup_elem(&vips, &to))
		return F_OTHER;
	return congestion(w->tos, m) ? F_UNWRAPPED : F_CONGESTED;
}
