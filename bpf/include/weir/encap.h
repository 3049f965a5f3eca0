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

/* What outer headers take from the packet inside. */
struct inner {
	__u16 len;
	__u8 tos;
	__u8 ttl; /* before it was taken down */
	bool v6;
	bool df; /* IPv4 that must not be fragmented */
};

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

/* Room for the longest outer headers: IPv6 and GUE. */
#define OUTER_MOST 64

/*
 * What is read of a packet before it is wrapped, and what it is wrapped in. The
 * headers are made in memory, by functions that never see the packet, so that
 * the verifier reads them once and not for every kind of packet.
 */
struct outer {
	__u8 bytes[OUTER_MOST];
	__u32 size;  /* of all outer headers */
	__u32 flags; /* for bpf_skb_adjust_room */
	__u64 sum;   /* of the inner packet */
	__u32 head[3]; /* its first twelve bytes */
	__u32 gso;
	struct udp udp; /* its UDP header, if it has one */
};

/* One for each CPU: too large for the stack, which is 512 bytes in all. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct outer);
} outers SEC(".maps");

/* The kernel cuts a GSO packet into segments after this, and cannot be told to
 * sum the tunnel header of each: they go without a checksum. */
static __always_inline bool is_summed(const struct dest *d, const struct outer *o)
{
	return encap_summed(d) && !o->gso;
}

/* Must all of the packet be added up, because its sum does not follow from
 * its headers? */
__noinline int outer_must_sum(const struct packet *p, const struct dest *d, const struct outer *o)
{
	__u32 headers;

	if (!p || !d || !o || !is_summed(d, o))
		return 0;
	headers = p->l4 - p->l3;
	if (p->fragment || headers != (p->v6 ? sizeof(struct iphdr6) : sizeof(struct iphdr4)))
		return 1;
	if (p->protocol == IPPROTO_UDP)
		return !o->udp.check || bpf_ntohs(o->udp.len) != p->len - headers;
	return p->protocol != IPPROTO_TCP;
}

/* The sum of a packet of which outer_must_sum said no. The addresses stand in
 * both headers, and cancel out. */
static __always_inline __u64 sum_that_follows(__u32 first, __u32 second, __u32 third, bool v6, __u16 payload,
					      __u8 protocol)
{
	__u32 rest = bpf_htons(payload) + bpf_htons(protocol);

	return (__u64)first + second + (v6 ? 0 : third) + (__u32)~rest;
}

/*
 * The source port of GUE spreads flows over the paths and queues between here
 * and the real server, as the kernel's udp_flow_src_port does: a hash in the
 * range of ephemeral ports. It is the flow's own hash, which all packets of a
 * connection have. All parts of a datagram take the same way.
 */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT (60999 - 32768)

static __always_inline __be16 hash_port(__u64 hash)
{
	return bpf_htons(EPHEMERAL_FIRST + ((hash >> 32) * EPHEMERAL_COUNT >> 32));
}

static __always_inline __be16 flow_port(const struct packet *p)
{
	__u64 client[2] = {p->saddr.w[0] | (__u64)p->saddr.w[1] << 32, p->saddr.w[2] | (__u64)p->saddr.w[3] << 32};
	__be16 port = p->fragment ? 0 : p->sport;

	return hash_port(flow_hash_of(p->v6, p->protocol, client, flow_key(p->v6, &p->saddr, port, 0)));
}

static __always_inline __u64 sum_ends(const struct dest *d, const struct nexthop *n)
{
	__u64 sum = (__u64)n->from.w[3] + d->addr.w[3];

	if (d->flags & DEST_V6)
		for (int i = 0; i < 3; i++)
			sum += (__u64)n->from.w[i] + d->addr.w[i];
	return sum;
}

/* `sum`: of the packet inside, if the header is to be summed. */
static __always_inline void gue_head(struct gue *g, const struct inner *in, const struct dest *d,
				     const struct nexthop *n, __be16 sport, bool summed, __u64 sum)
{
	g->sport = sport;
	g->dport = d->tunnel_port;
	g->len = bpf_htons(in->len + sizeof(*g));
	g->check = 0;
	g->version = 0;
	g->protocol = in->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	g->flags = 0;
	if (!summed)
		return;
	/* The length stands in the header and in the pseudo header. */
	g->check = ~csum_fold(sum + sum_ends(d, n) + bpf_htons(IPPROTO_UDP) + g->sport + g->dport +
			      2u * g->len + bpf_htons(g->protocol));
	if (!g->check)
		g->check = 0xffff;
}

static __always_inline void gre_head(struct gre_sum *g, const struct packet *p, const struct dest *d,
				     const struct outer *o)
{
	g->flags = 0;
	g->protocol = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (!is_summed(d, o))
		return;
	g->flags = bpf_htons(GRE_CHECKSUM);
	g->check = ~csum_fold(o->sum + g->flags + g->protocol);
	g->reserved = 0;
}
