/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The outer IP header and the tunnel's own: is this a tunnel packet for this
 * host, and where does the packet inside begin?
 */
#pragma once

#include "../weir/csum.h"
#include "types.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct take);
} takes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct addr);
	__type(value, __u32);
} outers SEC(".maps"); /* addresses of this host where tunnels end */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct peer_key);
	__type(value, __u32);
} peers SEC(".maps");

struct wrapped {
	const struct take *take;
	struct addr saddr, daddr;
	__u32 at;  /* offset of the next header to read, in the end of the inner packet */
	__u32 end; /* where the outer packet ends, by its own word */
	__u8 next; /* protocol behind the outer IP header */
	__u8 tos;
	bool v6, inner6;
	bool fragment;
	/* GUE's remote checksum: where summing starts and where the sum goes, from
	 * the inner packet. */
	bool remote;
	__u16 sum_start, sum_at;
};

struct gue_head {
	__be16 sport, dport, len, check;
	__u8 hlen; /* version (2 bits), control (1), length of options in words (5) */
	__u8 protocol;
	__be16 flags;
};

struct gue_private {
	__be32 flags;
	__be16 start, at;
};

struct gre_head {
	__be16 flags, protocol;
};

#define GUE_PRIVATE	0x0001
#define GUE_REMOTE_SUM	0x80000000
#define GRE_SUMMED	0x8000

/* Packets of a protocol nobody asked for are none of our business; they leave
 * here after the first header. */
static __always_inline bool wanted(const struct take *take, __u8 next)
{
	switch (next) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return take->ipip;
	case IPPROTO_GRE:
		return take->gre;
	case IPPROTO_UDP:
		return take->gue;
	}
	return false;
}

/* An outer header with options or a wrong sum is for the stack to refuse. */
static __always_inline int outer4(const struct packet *p, struct wrapped *w)
{
	struct iphdr4 *ip = packet_at(p, ETH_HLEN, sizeof(*ip));
	__u32 *word = (__u32 *)ip;

	if (!ip || ip->vihl != 0x45 || !wanted(w->take, ip->protocol))
		return F_NONE;
	map4(&w->saddr, ip->saddr);
	map4(&w->daddr, ip->daddr);
	w->at = ETH_HLEN + sizeof(*ip);
	w->end = ETH_HLEN + bpf_ntohs(ip->len);
	w->next = ip->protocol;
	w->tos = ip->tos;
	w->fragment = ip->frag & bpf_htons(IP_MF | IP_OFFSET);
	if (csum_fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]) != 0xffff)
		return F_MALFORMED;
	return F_UNWRAPPED;
}

/* Linux's own IPv6 tunnels put a destination option before the packet, the
 * encapsulation limit (RFC 2473, 4.1.1); eight bytes that are stepped over. */
static __always_inline int outer6(const struct packet *p, struct wrapped *w)
{
	struct iphdr6 *ip = packet_at(p, ETH_HLEN, sizeof(*ip));
	__u8 *option;

	if (!ip || (bpf_ntohl(ip->flow) >> 28) != 6)
		return F_NONE;
	w->v6 = true;
	w->saddr = ip->saddr;
	w->daddr = ip->daddr;
	w->at = ETH_HLEN + sizeof(*ip);
	w->end = w->at + bpf_ntohs(ip->payload);
	w->next = ip->next;
	w->tos = bpf_ntohl(ip->flow) >> 20;
	if (w->next == IPPROTO_DSTOPTS || w->next == IPPROTO_FRAGMENT) {
		option = packet_at(p, w->at, 8);
		if (!option || (w->next == IPPROTO_DSTOPTS && option[1]))
			return F_NONE;
		w->fragment = w->next == IPPROTO_FRAGMENT;
		w->next = option[0];
		w->at += 8;
	}
	return wanted(w->take, w->next) ? F_UNWRAPPED : F_NONE;
}

/* GUE version 0: data, and of the options the one that ip_vs can send. */
static __always_inline int behind_gue(const struct packet *p, struct wrapped *w)
{
	struct gue_head *g = packet_at(p, w->at, sizeof(*g));
	struct gue_private *option;

	if (!g || bpf_ntohs(g->len) < sizeof(*g) || bpf_ntohs(g->len) > w->end - w->at)
		return F_MALFORMED;
	w->end = w->at + bpf_ntohs(g->len);
	w->at += sizeof(*g);
	w->next = g->protocol;
	if (!g->hlen && !g->flags)
		return F_UNWRAPPED;
	if (g->hlen != 2 || g->flags != bpf_htons(GUE_PRIVATE))
		return F_UNKNOWN;
	option = packet_at(p, w->at, sizeof(*option));
	if (!option)
		return F_MALFORMED;
	if (option->flags != bpf_htonl(GUE_REMOTE_SUM))
		return F_UNKNOWN;
	w->remote = true;
	w->sum_start = bpf_ntohs(option->start);
	w->sum_at = bpf_ntohs(option->at);
	w->at += sizeof(*option);
	return F_UNWRAPPED;
}

/* GRE with or without checksum; keys and sequence numbers are agreements that
 * nobody has made (RFC 2890). */
static __always_inline int behind_gre(const struct packet *p, struct wrapped *w)
{
	struct gre_head *g = packet_at(p, w->at, sizeof(*g));

	if (!g || w->end - w->at < sizeof(*g))
		return F_MALFORMED;
	if (g->flags & ~bpf_htons(GRE_SUMMED))
		return F_UNKNOWN;
	if (g->protocol == bpf_htons(ETH_P_IP))
		w->next = IPPROTO_IPIP;
	else if (g->protocol == bpf_htons(ETH_P_IPV6))
		w->next = IPPROTO_IPV6;
	else
		return F_UNKNOWN;
	w->at += g->flags ? 8 : sizeof(*g);
	return F_UNWRAPPED;
}

/* The port comes before all else: other UDP traffic is not looked at. Of a
 * fragment only the first has one. */
static __always_inline bool other_udp(const struct packet *p, const struct wrapped *w)
{
	struct udp *u = packet_at(p, w->at, sizeof(*u));

	return w->next == IPPROTO_UDP && (!u || u->dest != w->take->gue);
}

static __always_inline bool from_peer(const struct wrapped *w)
{
	struct peer_key key = {.bits = 128, .addr = w->saddr};

	return w->take->any_peer || bpf_map_lookup_elem(&peers, &key);
}

/* F_UNWRAPPED: a tunnel packet for us; w says where the inner packet begins. */
static __always_inline int look_outside(const struct packet *p, __be16 ethertype, struct wrapped *w)
{
	int f;

	if (ethertype == bpf_htons(ETH_P_IP))
		f = outer4(p, w);
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		f = outer6(p, w);
	else
		return F_NONE;
	if (f == F_NONE || !bpf_map_lookup_elem(&outers, &w->daddr) || other_udp(p, w))
		return F_NONE;
	if (!from_peer(w))
		return F_FOREIGN;
	if (f != F_UNWRAPPED)
		return f;
	if (w->fragment)
		return F_FRAGMENT;
	if (w->end < w->at || w->end > ctx_field(p->ctx, struct __sk_buff, len))
		return F_MALFORMED;
	if (w->next == IPPROTO_UDP)
		f = behind_gue(p, w);
	else if (w->next == IPPROTO_GRE)
		f = behind_gre(p, w);
	return f;
}
