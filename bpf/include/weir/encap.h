/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What GUE and GRE tunnels put between the outer IP header and the packet:
 * sizes, headers, checksums. GUE is a UDP header and four bytes
 * (draft-ietf-intarea-gue, version 0), GRE four bytes, or eight with a
 * checksum (RFC 2784).
 *
 * Their checksum covers the whole packet, but the data need not be read for
 * it: a transport part that is summed right adds up to the complement of its
 * pseudo header, whatever it carries (RFC 1624; the kernel calls it local
 * checksum offload). The same is true where the checksum is still left to the
 * device. Of the IP header only what the pseudo header lacks remains. A packet
 * that was summed wrong leaves with a tunnel checksum that is wrong, too.
 */
#pragma once

#include "conn.h"
#include "sum.h"

struct gue {
	__be16 sport, dport, len, check;
	__u8 version; /* and control bit and length of options, all zero */
	__u8 protocol;
	__be16 flags;
};

struct gre {
	__be16 flags, protocol;
};

struct gre_sum {
	__be16 flags, protocol, check, reserved;
};

#define GRE_CHECKSUM 0x8000

static __always_inline __u8 encap_type(const struct dest *d)
{
	return d->encap & ENCAP_MASK;
}

static __always_inline bool encap_summed(const struct dest *d)
{
	return d->encap & ENCAP_SUMMED;
}

/* Bytes between the outer IP header and the packet, in general. */
static __always_inline __u32 encap_size(const struct dest *d)
{
	if (encap_type(d) == ENCAP_GUE)
		return sizeof(struct gue);
	if (encap_type(d) == ENCAP_GRE)
		return encap_summed(d) ? sizeof(struct gre_sum) : sizeof(struct gre);
	return 0;
}

/* What the outer headers take from the inner packet. */
struct inner {
	__u64 sum;     /* of the whole packet */
	__be16 source; /* of GUE */
	__u8 tos;
	__u8 ttl;
	__u8 type; /* ENCAP_* */
	bool df;
	bool summed; /* the tunnel header has a checksum */
	__u8 size;   /* of the tunnel header */
};

/* Can the sum of the packet be told without reading its data? */
static __always_inline bool sum_follows(const struct packet *p)
{
	__u32 headers = p->l4 - p->l3;

	if (p->fragment || headers != (p->v6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4)))
		return false;
	if (p->protocol == IPPROTO_UDP) {
		struct udp *u = packet_at(p, p->l4, sizeof(*u));

		return u && u->check && bpf_ntohs(u->len) == p->len - headers;
	}
	return p->protocol == IPPROTO_TCP;
}

/* The sum of the packet, its hop count taken down already. */
static __always_inline bool inner_sum(const struct packet *p, __u64 *sum)
{
	__u32 rest = bpf_htons(p->len - (p->l4 - p->l3)) + bpf_htons(p->protocol);
	__u32 *w;

	*sum = 0;
	if (!sum_follows(p))
		return sum_range(p, p->l3, p->len, sum);
	w = packet_at(p, p->l3, 12);
	if (!w)
		return false;
	/* The addresses stand in both headers, and cancel out. */
	*sum = (__u64)w[0] + w[1] + (p->v6 ? 0 : w[2]) + (__u32)~rest;
	return true;
}

/*
 * The source port of GUE spreads flows over the paths and queues between here
 * and the real server, as the kernel's udp_flow_src_port does: a hash in the
 * range of ephemeral ports. All parts of a datagram take the same way.
 */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT (60999 - 32768)

static __always_inline __be16 flow_port(const struct packet *p)
{
	__u64 h = hash_seed ^ p->protocol;

	for (int i = 0; i < 4; i++)
		h += ((__u64)p->saddr.w[i] << 32 | p->daddr.w[i]) * (0x9e3779b97f4a7c15ull + 2 * i);
	if (!p->fragment)
		h ^= (__u32)p->sport << 16 | p->dport;
	h = (__u32)mix(h);
	return bpf_htons(EPHEMERAL_FIRST + (h * EPHEMERAL_COUNT >> 32));
}

/* The kernel cuts a GSO packet into segments after this, and cannot be told to
 * sum the tunnel header of each: they go without a checksum. */
static __always_inline bool segmented_later(const struct packet *p)
{
	return !xdp && ctx_field(p->ctx, struct __sk_buff, gso_size);
}

/* Reads of the packet what its tunnel header needs. */
static __always_inline bool look_for_encap(const struct packet *p, const struct dest *d, struct inner *in)
{
	in->type = encap_type(d);
	in->summed = encap_summed(d) && !segmented_later(p);
	in->size = encap_size(d);
	if (in->type == ENCAP_GRE && !in->summed)
		in->size = sizeof(struct gre);
	if (in->type == ENCAP_GUE)
		in->source = flow_port(p);
	return !in->summed || inner_sum(p, &in->sum);
}

static __always_inline __u64 sum_ends(const struct dest *d, const struct nexthop *n)
{
	__u64 sum = (__u64)n->from.w[3] + d->addr.w[3];

	if (d->flags & DEST_V6)
		for (int i = 0; i < 3; i++)
			sum += (__u64)n->from.w[i] + d->addr.w[i];
	return sum;
}

static __always_inline bool gue_head(const struct packet *p, __u32 at, const struct dest *d, const struct nexthop *n,
				     const struct inner *in)
{
	struct gue *g = packet_at(p, at, sizeof(*g));
	__u16 check = 0;
	__u64 sum;

	if (!g)
		return false;
	g->sport = in->source;
	g->dport = d->tunnel_port;
	g->len = bpf_htons(p->len + sizeof(*g));
	g->version = 0;
	g->protocol = p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	g->flags = 0;
	if (in->summed) {
		/* The length stands in the header and in the pseudo header. */
		sum = in->sum + sum_ends(d, n) + bpf_htons(IPPROTO_UDP) + g->sport + g->dport + 2u * g->len +
		      bpf_htons(g->protocol);
		check = ~csum_fold(sum);
		if (!check)
			check = 0xffff;
	}
	g->check = check;
	return true;
}

static __always_inline bool gre_head(const struct packet *p, __u32 at, const struct inner *in)
{
	__be16 protocol = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	struct gre_sum *s;
	struct gre *g;

	g = packet_at(p, at, sizeof(*g));
	if (!g)
		return false;
	g->flags = in->summed ? bpf_htons(GRE_CHECKSUM) : 0;
	g->protocol = protocol;
	if (!in->summed)
		return true;
	s = packet_at(p, at, sizeof(*s));
	if (!s)
		return false;
	s->check = ~csum_fold(in->sum + bpf_htons(GRE_CHECKSUM) + protocol);
	s->reserved = 0;
	return true;
}
