/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * ICMP errors the director sends itself (tc only): port unreachable, host
 * unreachable, time exceeded, too big (RFC 792, RFC 1191, RFC 4443). The packet is cut to what
 * an error may quote, pushed back behind a new header, and returned the way it
 * came. The source is the address the packet was sent to, as IPVS has it.
 */
#pragma once

#include "csum.h"
#include "maps.h"
#include "send.h"
#include "sum.h"

enum icmp_kind {
	ICMP_NO_PORT = 0,
	ICMP_TTL = 1,
	ICMP_TOO_BIG = 2,
	ICMP_NO_HOST = 3,
};

#define ICMP_PER_SECOND 1000 /* on each CPU, like net.ipv4.icmp_msgs_per_sec */

#define QUOTE4 548  /* RFC 1812 4.3.2.3: an error of at most 576 bytes */
#define QUOTE6 1232 /* RFC 4443 2.4(c): an error of at most 1280 bytes */

/* Head of an error: IP header and ICMP header. */
struct error4 {
	struct iphdr4 ip;
	struct icmp icmp;
};

struct error6 {
	struct iphdr6 ip;
	struct icmp icmp;
};

static __always_inline bool icmp_allowed(void)
{
	__u32 zero = 0, second = bpf_ktime_get_coarse_ns() >> 30;
	struct icmp_budget *b = bpf_map_lookup_elem(&icmp_budgets, &zero);

	if (!b)
		return false;
	if (b->second != second) {
		b->second = second;
		b->used = 0;
	}
	return b->used++ < ICMP_PER_SECOND;
}

/* The transport checksum, if it is left to the device: the field then holds the
 * plain sum of the pseudo header. */
static __always_inline __u16 *check_left(struct __sk_buff *skb, const struct packet *p, __u32 at, __u32 len)
{
	__u32 offset = check_offset(p->protocol);
	__u64 pseudo = bpf_htons(p->protocol);
	__u16 *check;

	check = bytes_at(skb, at + offset, 2);
	if (!check || !offset || len < offset + 2)
		return NULL;
	for (int i = 0; i < 4; i++)
		pseudo += (__u64)(p->v6 || i == 3 ? p->saddr.w[i] : 0) + (p->v6 || i == 3 ? p->daddr.w[i] : 0);
	pseudo += bpf_htons(p->len - (p->l4 - p->l3));
	return csum_fold(pseudo) == *check ? check : NULL;
}

/*
 * The sum of the quoted packet, at `at`, as the receiver will see it. If its
 * transport checksum is left to the device, the device will make the transport
 * part sum up to the complement of the field, whatever was cut off.
 */
static __always_inline __u64 sum_quote(struct __sk_buff *skb, const struct packet *p, __u32 at, __u32 quote)
{
	__u32 header = p->l4 - p->l3;
	__u16 *left = check_left(skb, p, at + header, quote - header);
	__u64 sum = left ? (__u16)~*left : 0;

	sum_range(skb, at, left ? header : quote, &sum, p->len);
	return sum;
}

static __always_inline void icmp_size(struct icmp *icmp, bool v6, __u32 mtu)
{
	icmp->word = v6 ? bpf_htons(mtu >> 16) : 0;
	icmp->mtu = bpf_htons(mtu);
}

/* The head of an error of this kind. */
static __always_inline void icmp_make(struct icmp *icmp, bool v6, int kind, __u32 mtu)
{
	__builtin_memset(icmp, 0, sizeof(*icmp));
	if (v6) {
		icmp->type = kind == ICMP_TTL ? 3 : kind == ICMP_TOO_BIG ? 2 : 1;
		icmp->code = kind == ICMP_NO_PORT ? 4 : kind == ICMP_NO_HOST ? 3 : 0;
	} else {
		icmp->type = kind == ICMP_TTL ? 11 : 3;
		icmp->code = kind == ICMP_NO_PORT ? 3 : kind == ICMP_TOO_BIG ? 4 : kind == ICMP_NO_HOST ? 1 : 0;
	}
	if (kind == ICMP_TOO_BIG)
		icmp_size(icmp, v6, mtu);
}

static __always_inline bool error_head4(struct __sk_buff *skb, const struct packet *p,
					const struct addr *from, __u32 quote, __u64 sum)
{
	struct error4 *e = bytes_at(skb, ETH_HLEN, sizeof(*e));

	if (!e)
		return false;
	e->ip.vihl = 0x45;
	e->ip.tos = (p->tos & 0x1e) | 0xc0; /* internetwork control, and what the packet asked for, as the kernel has it */
	e->ip.len = bpf_htons(sizeof(*e) + quote);
	e->ip.id = 0;
	e->ip.frag = bpf_htons(IP_DF);
	e->ip.ttl = 64;
	e->ip.protocol = IPPROTO_ICMP;
	e->ip.saddr = from->w[3];
	e->ip.daddr = p->saddr.w[3];
	e->icmp = p->answer;
	e->icmp.check = ~csum_fold(sum + e->icmp.word + e->icmp.mtu +
				   bpf_htons((__u16)e->icmp.type << 8 | e->icmp.code));
	e->ip.check = 0;
	e->ip.check = ~csum_fold((__u64)bpf_htons(0x4500 | e->ip.tos) + e->ip.len + e->ip.frag +
				 bpf_htons((__u16)64 << 8 | IPPROTO_ICMP) + e->ip.saddr + e->ip.daddr);
	return true;
}

static __always_inline bool error_head6(struct __sk_buff *skb, const struct packet *p,
					const struct addr *from, __u32 quote, __u64 sum)
{
	struct error6 *e = bytes_at(skb, ETH_HLEN, sizeof(*e));

	if (!e)
		return false;
	e->ip.flow = bpf_htonl(0x60000000);
	e->ip.payload = bpf_htons(sizeof(e->icmp) + quote);
	e->ip.next = IPPROTO_ICMPV6;
	e->ip.hops = 64;
	e->ip.saddr = *from;
	e->ip.daddr = p->saddr;
	e->icmp = p->answer;
	for (int i = 0; i < 4; i++)
		sum += (__u64)p->saddr.w[i] + from->w[i];
	sum += e->ip.payload + bpf_htons(IPPROTO_ICMPV6) + e->icmp.word + e->icmp.mtu;
	e->icmp.check = ~csum_fold(sum + bpf_htons((__u16)e->icmp.type << 8 | e->icmp.code));
	return true;
}

/*
 * Turns a packet into the error about itself that p->answer says; its MAC
 * addresses are still to be set. V_NONE: done. Global, so that the verifier
 * reads it once; only tc programs may call it, because of its context.
 */
__noinline int icmp_error(struct __sk_buff *skb, const struct packet *p)
{
	__u32 limit, quote, head, hop;
	struct nexthop *n;
	struct addr from;
	__u64 sum;

	if (!p)
		return V_HELPER;
	from = p->daddr;
	hop = p->self;
	n = hop ? bpf_map_lookup_elem(&nexthops, &hop) : NULL;
	if (n)
		from = n->from;
	limit = p->v6 ? QUOTE6 : QUOTE4;
	head = p->v6 ? sizeof(struct error6) : sizeof(struct error4);
	quote = p->quote < limit ? p->quote : limit;
	/* The error must quote the header it speaks of whole, and the part
	 * with the ports; and nothing is answered about a later fragment. */
	if (p->later || quote < p->l4 - p->l3 + 8u)
		return V_MALFORMED;
	if (bpf_skb_change_tail(skb, ETH_HLEN + quote, 0) ||
	    bpf_skb_adjust_room(skb, head, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_pull_data(skb, ETH_HLEN + head + quote))
		return V_HELPER;
	sum = sum_quote(skb, p, ETH_HLEN + head, quote);
	if (!(p->v6 ? error_head6(skb, p, &from, quote, sum) : error_head4(skb, p, &from, quote, sum)))
		return V_HELPER;
	return V_NONE;
}

/* Has the packet answered with an error: the tc program does so at its end. */
static __always_inline int icmp_answer(struct packet *p, int kind, __u32 mtu, int why, int *action)
{
	if (xdp)
		return V_DEFERRED;
	trace(STEP_ANSWER, kind, mtu);
	icmp_make(&p->answer, p->v6, kind, mtu);
	p->quote = p->len;
	p->answering = ANSWER_BACK;
	return why;
}

/* Sends a packet back the way it came. */
static __always_inline bool turn_round(struct packet *p, int *action)
{
	struct macs back;
	struct ethhdr *eth = packet_at(p, 0, sizeof(*eth));

	if (!eth)
		return false;
	__builtin_memcpy(back.dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(back.source, eth->h_dest, ETH_ALEN);
	set_macs(p, &back);
	*action = redirect(p->ctx, ingress_index(p->ctx));
	return true;
}

/* Gives the answer somebody asked for. `why` is the verdict so far. */
static __noinline int give_answer(struct __sk_buff *skb, struct packet *p, int why, int *action)
{
	bool routed = p->answering == ANSWER_ROUTED;
	struct way w;
	int v;

	p->segment = 0; /* an error is never too big */
	if (routed) {
		v = find_way(p, &p->daddr, &p->saddr, &w);
		if (v)
			return v;
	}
	if (!icmp_allowed())
		return V_ICMP_LIMITED;
	v = icmp_error(skb, p);
	p->ctx = skb; /* for the verifier, which takes all of *p for numbers now */
	if (v)
		return v == V_MALFORMED ? why : v;
	if (routed)
		*action = send_way(p, &w);
	else if (!turn_round(p, action))
		return V_HELPER;
	return why;
}
