/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * A cursor over Ethernet, IP, and TCP, UDP, SCTP, AH, ESP or ICMP. Every bound is checked
 * here, where the cursor moves; what comes out is a struct packet whose
 * offsets are good for the headers they name.
 *
 * Frames with a VLAN tag are not looked at: they are handled where the stack
 * delivers them, on the VLAN's own interface, as the kernel's IPVS does. A tag
 * nobody configured therefore reaches no service.
 */
#pragma once

#include "common.h"
#include "types.h"
#include "verdict.h"

struct icmp {
	__u8 type, code;
	__be16 check;
	__be16 word, mtu; /* too big of ICMPv4; ICMPv6 uses both as one word */
};

/* What becomes of a packet that is answered with an ICMP error (tc only). */
enum answering {
	ANSWER_NOT = 0,
	ANSWER_BACK = 1,   /* the answer goes the way the packet came */
	ANSWER_ROUTED = 2, /* it is routed */
};

/* What an SCTP packet means for its connection: the first chunk, as IPVS sorts
 * them. Unknown ones, acknowledgements and heartbeats are DATA. */
enum chunk {
	CHUNK_DATA = 0,
	CHUNK_INIT = 1,
	CHUNK_INIT_ACK = 2,
	CHUNK_COOKIE_ECHO = 3,
	CHUNK_COOKIE_ACK = 4,
	CHUNK_SHUTDOWN = 5,
	CHUNK_SHUTDOWN_ACK = 6,
	CHUNK_SHUTDOWN_COMPLETE = 7,
	CHUNK_ERROR = 8,
	CHUNK_ABORT = 9,
	CHUNK_COUNT = 10,
	CHUNK_NONE = 15, /* none can be read */
};

/* What the routing table is asked about, beside two addresses (send.h). */
struct asked {
	void *ctx;
	__u16 segment; /* size of the largest IP packet this will become (GSO) */
	__u8 protocol;
	bool v6;
};

struct packet {
	union {
		struct asked asked;
		struct {
			void *ctx;
			__u16 segment;
			__u8 protocol;
			bool v6;
			__be32 frag_id;
		};
	};
	__u8 ttl;
	__u8 tos;  /* of IPv6: traffic class */
	__u16 l3;  /* offset of the IP header */
	__u16 l4;  /* offset of the transport header */
	__u16 len; /* of the IP packet, by its own word */
	__be16 sport;
	__be16 dport;
	bool syn : 1, fin : 1, rst : 1, ack : 1;
	bool fragment : 1;     /* part of a fragmented datagram */
	bool later : 1;	       /* … and not the first part: no ports */
	bool may_fragment : 1; /* IPv4 without DF */
	bool icmp_error : 1;
	__u8 chunk : 4;	    /* SCTP: what it means, enum chunk */
	__u8 answering : 4; /* enum answering */
	__u8 from; /* what the filter knows of the addresses (filter.h) */
	__u8 to;
	struct addr saddr;
	struct addr daddr;
	struct icmp answer; /* the error; what of it stands before the quotation */
	__u32 self; /* next hop whose `from` is the error's source; 0: the address the packet was sent to */
	__u16 quote; /* how much of the packet there is to be quoted */
	__u16 pad;
};

/* The stack is 512 bytes for all calls together; this is the largest thing on it. */
_Static_assert(sizeof(struct packet) == 80, "packet");

struct iphdr4 {
	__u8 vihl, tos;
	__be16 len, id, frag;
	__u8 ttl, protocol;
	__be16 check;
	__be32 saddr, daddr;
};

struct iphdr6 {
	__be32 flow;
	__be16 payload;
	__u8 next, hops;
	struct addr saddr, daddr;
};

struct ports {
	__be16 source, dest;
};

struct tcp {
	__be16 source, dest;
	__be32 seq, ack;
	__u8 off, flags;
	__be16 window, check, urgent;
};

struct udp {
	__be16 source, dest, len, check;
};

#define IP_DF	  0x4000
#define IP_MF	  0x2000
#define IP_OFFSET 0x1fff


static __always_inline void *ctx_data(void *ctx)
{
	return (void *)(xdp ? ctx_field(ctx, struct xdp_md, data) : ctx_field(ctx, struct __sk_buff, data));
}

static __always_inline void *ctx_end(void *ctx)
{
	return (void *)(xdp ? ctx_field(ctx, struct xdp_md, data_end) : ctx_field(ctx, struct __sk_buff, data_end));
}

static __always_inline void *packet_data(const struct packet *p)
{
	return ctx_data(p->ctx);
}

static __always_inline void *packet_end(const struct packet *p)
{
	return ctx_end(p->ctx);
}

/* The bytes [offset, offset+size) of the packet, or NULL. The mask changes
 * nothing after the comparison; it is written out because the compiler may
 * compare one copy of the offset and add another ("offset is outside of the
 * packet"). */
static __always_inline void *bytes_at(void *ctx, __u32 offset, __u32 size)
{
	void *at = ctx_data(ctx);
	__u64 bounded = offset;

	if (bounded > 0x7ff)
		return NULL;
	asm volatile("%0 &= 0x7ff" : "+r"(bounded));
	at += bounded;
	return at + size > ctx_end(ctx) ? NULL : at;
}

static __always_inline void *packet_at(const struct packet *p, __u32 offset, __u32 size)
{
	return bytes_at(p->ctx, offset, size);
}

static __always_inline void map4(struct addr *a, __be32 v4)
{
	a->w[0] = 0;
	a->w[1] = 0;
	a->w[2] = bpf_htonl(0xffff);
	a->w[3] = v4;
}

static __always_inline bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->w[3] == b->w[3] && a->w[2] == b->w[2] && a->w[1] == b->w[1] && a->w[0] == b->w[0];
}

/* The sources no packet from the wire may have (RFC 1122 3.2.1.3, RFC 4291
 * 2.5); the stack drops them, and IPVS never sees them. */
static __always_inline bool martian(bool v6, const struct addr *a)
{
	__u8 first;

	if (v6)
		return (a->w[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) ||
		       (!a->w[0] && !a->w[1] && !a->w[2] && (a->w[3] & bpf_htonl(0xfffffffe)) == 0);
	first = bpf_ntohl(a->w[3]) >> 24;
	return first == 0 || first == 127 || first >= 224;
}

static __always_inline int parse_ports(struct packet *p)
{
	struct ports *port = packet_at(p, p->l4, sizeof(*port));

	if (!port)
		return V_MALFORMED;
	p->sport = port->source;
	p->dport = port->dest;
	return V_NONE;
}

/*
 * AH and ESP have no ports. They belong to the connection whose keys they were
 * agreed on: that of UDP port 500 at both ends between the same addresses
 * (IPVS.md a.4), and are taken for packets of it. Over IPv6 IPVS takes AH for one
 * more extension header, and what follows it for the transport.
 */
#define PORT_ISAKMP 500

static __always_inline bool joins(const struct packet *p)
{
	return (p->protocol | 1) == IPPROTO_AH; /* 51; ESP is 50 */
}

static __always_inline bool has_ports(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_SCTP;
}

static __always_inline int parse_joining(struct packet *p)
{
	if (p->v6 && p->protocol == IPPROTO_AH)
		return V_NOT_OURS; /* behind more headers than are walked */
	p->sport = bpf_htons(PORT_ISAKMP);
	p->dport = bpf_htons(PORT_ISAKMP);
	return V_NONE;
}

/* The ports of a packet that somebody quotes. */
static __always_inline int parse_ends(struct packet *p)
{
	if (joins(p))
		return parse_joining(p);
	return has_ports(p) ? parse_ports(p) : V_NOT_OURS;
}

static __always_inline int parse_tcp(struct packet *p)
{
	struct tcp *t = packet_at(p, p->l4, sizeof(*t));

	if (!t)
		return p->fragment ? parse_ports(p) : V_MALFORMED;
	p->sport = t->source;
	p->dport = t->dest;
	p->fin = t->flags & 1;
	p->syn = (t->flags >> 1) & 1;
	p->rst = (t->flags >> 2) & 1;
	p->ack = (t->flags >> 4) & 1;
	return V_NONE;
}

struct sctp {
	__be16 source, dest;
	__be32 tag;
	__u32 check; /* little endian, of all things */
};

struct sctp_chunk {
	__u8 type, flags;
	__be16 length;
};

/* By chunk type (RFC 9260 3.2). */
static const __u8 chunk_kinds[16] = {
	[1] = CHUNK_INIT, [2] = CHUNK_INIT_ACK, [6] = CHUNK_ABORT, [7] = CHUNK_SHUTDOWN,
	[8] = CHUNK_SHUTDOWN_ACK, [9] = CHUNK_ERROR, [10] = CHUNK_COOKIE_ECHO,
	[11] = CHUNK_COOKIE_ACK, [14] = CHUNK_SHUTDOWN_COMPLETE,
};

#define SCTP_TYPE_ABORT 6

#define CHUNK_THERE (1ull << 32)

/* Reads a chunk's head, as one number of the host beside CHUNK_THERE; 0: there is
 * none. In a packet of several (linear) it is not where the headers are. */
static __always_inline __u64 chunk_head(const struct packet *p, __u32 at)
{
	struct sctp_chunk *c = packet_at(p, at, sizeof(*c));
	__be32 head = 0;

	if (c)
		return CHUNK_THERE | (__u32)c->type << 24 | bpf_ntohs(c->length);
	if (xdp || bpf_skb_load_bytes(p->ctx, at, &head, sizeof(head)))
		return 0;
	return CHUNK_THERE | bpf_ntohl(head);
}

static __always_inline __u8 sctp_chunk_kind(const struct packet *p)
{
	__u32 at = p->l4 + sizeof(struct sctp), length;
	__u64 head = chunk_head(p, at);
	__u8 type, kind;

	if (!head)
		return CHUNK_NONE;
	type = head >> 24 & 0xff;
	length = head & 0xffff;
	kind = type < 16 ? chunk_kinds[type & 15] : CHUNK_DATA;
	/* Behind a cookie an ABORT may hide. */
	if ((kind != CHUNK_COOKIE_ECHO && kind != CHUNK_COOKIE_ACK) || length < sizeof(struct sctp_chunk))
		return kind;
	head = chunk_head(p, at + ((length + 3) & ~3u));
	return head && (head >> 24 & 0xff) == SCTP_TYPE_ABORT ? CHUNK_ABORT : kind;
}

/* Is the first chunk itself an ABORT? Only such a packet opens nothing, and is
 * not answered; one behind a cookie just ends what it opens. */
static __always_inline bool sctp_aborts(const struct packet *p)
{
	return p->chunk == CHUNK_ABORT &&
	       (chunk_head(p, p->l4 + sizeof(struct sctp)) >> 24 & 0xff) == SCTP_TYPE_ABORT;
}

static __always_inline int parse_sctp(struct packet *p)
{
	struct sctp *s = packet_at(p, p->l4, sizeof(*s));

	if (!s)
		return p->fragment ? parse_ports(p) : V_MALFORMED;
	p->sport = s->source;
	p->dport = s->dest;
	p->chunk = hidden(sctp_chunk_kind(p), p->len); /* one path for the verifier, not one for each kind */
	return V_NONE;
}

static __always_inline int parse_icmp(struct packet *p)
{
	struct icmp *i = packet_at(p, p->l4, sizeof(*i));

	if (!i)
		return V_MALFORMED;
	/* Destination unreachable, source quench, time exceeded; all errors of ICMPv6. */
	p->icmp_error = p->v6 ? i->type < 128 : i->type == 3 || i->type == 4 || i->type == 11;
	return p->icmp_error ? V_NONE : V_NOT_OURS;
}

static __always_inline int parse_transport(struct packet *p)
{
	if (p->later && !joins(p))
		return has_ports(p) ? V_NONE : V_NOT_OURS;
	switch (p->protocol) {
	case IPPROTO_TCP:
		return parse_tcp(p);
	case IPPROTO_UDP:
		return packet_at(p, p->l4, sizeof(struct udp)) ? parse_ports(p) : V_MALFORMED;
	case IPPROTO_SCTP:
		return parse_sctp(p);
	case IPPROTO_ESP:
	case IPPROTO_AH:
		return parse_joining(p);
	case IPPROTO_ICMP:
		return p->v6 ? V_NOT_OURS : parse_icmp(p);
	case IPPROTO_ICMPV6:
		return p->v6 ? parse_icmp(p) : V_NOT_OURS;
	}
	return V_NOT_OURS;
}

static __always_inline int parse_ipv4(struct packet *p)
{
	struct iphdr4 *ip = packet_at(p, p->l3, sizeof(*ip));
	__u32 header;

	if (!ip || (ip->vihl >> 4) != 4)
		return V_MALFORMED;
	header = (ip->vihl & 0xf) * 4;
	p->len = bpf_ntohs(ip->len);
	if (header < sizeof(*ip) || p->len < header)
		return V_MALFORMED;
	p->v6 = false;
	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->l4 = p->l3 + header;
	p->may_fragment = !(ip->frag & bpf_htons(IP_DF));
	p->fragment = ip->frag & bpf_htons(IP_MF | IP_OFFSET);
	p->later = ip->frag & bpf_htons(IP_OFFSET);
	p->frag_id = ip->id;
	map4(&p->saddr, ip->saddr);
	map4(&p->daddr, ip->daddr);
	return V_NONE;
}

/* At most this many IPv6 extension headers are walked; nothing real has more. */
#define MAX_EXTENSIONS 6

static __always_inline int parse_ipv6(struct packet *p)
{
	struct iphdr6 *ip = packet_at(p, p->l3, sizeof(*ip));
	__u32 at;
	__u8 next;

	if (!ip || (bpf_ntohl(ip->flow) >> 28) != 6)
		return V_MALFORMED;
	/* A jumbogram (RFC 2675) has payload length zero: not ours. */
	if (!ip->payload || bpf_ntohs(ip->payload) > 0xffff - sizeof(*ip))
		return V_MALFORMED;
	p->len = bpf_ntohs(ip->payload) + sizeof(*ip);
	p->v6 = true;
	p->ttl = ip->hops;
	p->tos = bpf_ntohl(ip->flow) >> 20;
	p->saddr = ip->saddr;
	p->daddr = ip->daddr;
	p->may_fragment = false;
	next = ip->next;
	at = p->l3 + sizeof(*ip);
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 *h;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			break;
		h = packet_at(p, at, 8);
		if (!h)
			return V_MALFORMED;
		if (next == IPPROTO_FRAGMENT) {
			__u16 offset = (__u16)h[2] << 8 | h[3];

			p->frag_id = *(__be32 *)(h + 4);
			p->fragment = offset & 0xfff9;
			p->later = offset & 0xfff8;
			at += 8;
		} else if (next == IPPROTO_AH) {
			at += (h[1] + 2) * 4;
		} else {
			at += (h[1] + 1) * 8;
		}
		next = h[0];
		if (p->later)
			break;
	}
	p->protocol = next;
	p->l4 = at;
	return V_NONE;
}

/* Reads the headers. V_NONE: a packet worth asking about. */
static __always_inline int parse(struct packet *p, __be16 ethertype)
{
	int v;

	p->l3 = ETH_HLEN;
	if (ethertype == bpf_htons(ETH_P_IP))
		v = parse_ipv4(p);
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		v = parse_ipv6(p);
	else
		return V_NOT_OURS;
	if (v)
		return v;
	p->segment = p->len;
	return parse_transport(p);
}

/* Headers are read in place; the longest are an ICMP error's with a quoted
 * packet. Makes them so (tc only). */
#define LINEAR	     192
#define GSO_BY_FRAGS 0xffff

static __always_inline bool linear(const struct packet *p)
{
	__u32 len = ctx_field(p->ctx, struct __sk_buff, len);
	__u32 want = len < LINEAR ? len : LINEAR;

	if (packet_data(p) + want <= packet_end(p))
		return true;
	/* SCTP's several packets in one are a list; to pull data out of the second
	 * would tear them apart at the wrong places. The headers are in the first. */
	if (ctx_field(p->ctx, struct __sk_buff, gso_size) == GSO_BY_FRAGS)
		return true;
	return !bpf_skb_pull_data(p->ctx, want);
}

/* Is the packet as long as it says? A frame cut short on the way is left to
 * the stack, which drops it. Also finds out how large the packets are that a
 * GSO packet will become. */
static __always_inline bool whole(struct packet *p)
{
	if (xdp) {
		if (packet_data(p) + p->l3 + p->len <= packet_end(p))
			return true;
		return bpf_xdp_get_buff_len(p->ctx) >= (__u64)p->l3 + p->len;
	}
	__u32 gso = ctx_field(p->ctx, struct __sk_buff, gso_size);

	if (ctx_field(p->ctx, struct __sk_buff, len) < (__u32)p->l3 + p->len)
		return false;
	if (gso) {
		struct tcp *t = packet_at(p, p->l4, sizeof(*t));
		__u32 header = p->protocol == IPPROTO_UDP ? sizeof(struct udp) : t ? (t->off >> 4) * 4 : 0;

		p->segment = p->l4 - p->l3 + header + gso;
		/* SCTP's segments are packets already, as large as they are; ESP's
		 * header says nothing. */
		if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
			p->segment = 0;
	}
	return true;
}
