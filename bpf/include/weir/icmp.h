/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * ICMP errors the director sends itself (tc only): port unreachable, time
 * exceeded, too big (RFC 792, RFC 1191, RFC 4443). The packet is cut to what
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

static __always_inline __u64 sum_packet(struct packet *p, __u32 at, __u32 len)
{
	__u64 sum = 0;

	sum_range(p, at, len, &sum);
	return sum;
}

/*
 * The sum of the quoted transport part as the receiver will see it. If the
 * checksum in it is left to the device (its field then holds the plain sum of
 * the pseudo header), the device will make the part sum up to the complement
 * of that field, whatever was cut off.
 */
static __always_inline __u64 sum_transport(struct packet *p, __u32 at, __u32 len)
{
	__u32 offset = check_offset(p->protocol);
	__u64 pseudo = bpf_htons(p->protocol);
	__u16 *check;

	check = p->later ? NULL : packet_at(p, at + offset, 2);
	if (check && offset && len >= offset + 2) {
		for (int i = 0; i < 4; i++)
			pseudo += (__u64)(p->v6 || i == 3 ? p->saddr.w[i] : 0) + (p->v6 || i == 3 ? p->daddr.w[i] : 0);
		pseudo += bpf_htons(p->len - (p->l4 - p->l3));
		if (csum_fold(pseudo) == *check)
			return (__u16)~*check;
	}
	return sum_packet(p, at, len);
}

static __always_inline void icmp4_word(struct icmp *icmp, int kind, __u32 mtu)
{
	icmp->type = kind == ICMP_TTL ? 11 : 3;
	icmp->code = kind == ICMP_NO_PORT ? 3 : kind == ICMP_TOO_BIG ? 4 : 0;
	icmp->word = 0;
	icmp->mtu = kind == ICMP_TOO_BIG ? bpf_htons(mtu) : 0;

}

static __always_inline void icmp6_word(struct icmp *icmp, int kind, __u32 mtu)
{
	icmp->type = kind == ICMP_TTL ? 3 : kind == ICMP_TOO_BIG ? 2 : 1;
	icmp->code = kind == ICMP_NO_PORT ? 4 : 0;
	icmp->word = kind == ICMP_TOO_BIG ? bpf_htons(mtu >> 16) : 0;
	icmp->mtu = kind == ICMP_TOO_BIG ? bpf_htons(mtu) : 0;
}

static __always_inline bool error_head4(struct packet *p, int kind, __u32 mtu, __u32 quote)
{
	__u64 sum = sum_packet(p, ETH_HLEN + sizeof(struct error4), p->l4 - p->l3) +
		    sum_transport(p, ETH_HLEN + sizeof(struct error4) + (p->l4 - p->l3), quote - (p->l4 - p->l3));
	struct error4 *e = packet_at(p, ETH_HLEN, sizeof(*e));

	if (!e)
		return false;
	e->ip.vihl = 0x45;
	e->ip.tos = (p->tos & 0x1e) | 0xc0; /* internetwork control, and what the packet asked for, as the kernel has it */
	e->ip.len = bpf_htons(sizeof(*e) + quote);
	e->ip.id = 0;
	e->ip.frag = bpf_htons(IP_DF);
	e->ip.ttl = 64;
	e->ip.protocol = IPPROTO_ICMP;
	e->ip.saddr = p->self ? p->self->w[3] : p->daddr.w[3];
	e->ip.daddr = p->saddr.w[3];
	icmp4_word(&e->icmp, kind, mtu);
	e->icmp.check = ~csum_fold(sum + e->icmp.mtu + bpf_htons((__u16)e->icmp.type << 8 | e->icmp.code));
	e->ip.check = 0;
	e->ip.check = ~csum_fold((__u64)bpf_htons(0x4500 | e->ip.tos) + e->ip.len + e->ip.frag +
				 bpf_htons((__u16)64 << 8 | IPPROTO_ICMP) + e->ip.saddr + e->ip.daddr);
	return true;
}

static __always_inline bool error_head6(struct packet *p, int kind, __u32 mtu, __u32 quote)
{
	__u64 sum = sum_packet(p, ETH_HLEN + sizeof(struct error6), p->l4 - p->l3) +
		    sum_transport(p, ETH_HLEN + sizeof(struct error6) + (p->l4 - p->l3), quote - (p->l4 - p->l3));
	struct error6 *e = packet_at(p, ETH_HLEN, sizeof(*e));

	if (!e)
		return false;
	e->ip.flow = bpf_htonl(0x60000000);
	e->ip.payload = bpf_htons(sizeof(e->icmp) + quote);
	e->ip.next = IPPROTO_ICMPV6;
	e->ip.hops = 64;
	e->ip.saddr = p->self ? *p->self : p->daddr;
	e->ip.daddr = p->saddr;
	icmp6_word(&e->icmp, kind, mtu);
	for (int i = 0; i < 4; i++)
		sum += (__u64)p->saddr.w[i] + e->ip.saddr.w[i];
	sum += e->ip.payload + bpf_htons(IPPROTO_ICMPV6) + e->icmp.word + e->icmp.mtu;
	e->icmp.check = ~csum_fold(sum + bpf_htons((__u16)e->icmp.type << 8 | e->icmp.code));
	return true;
}

/* Turns the packet into an error about itself and sends it back. */
static __noinline int icmp_answer(struct packet *p, int kind, __u32 mtu, int why, int *action)
{
	__u32 limit = p->v6 ? QUOTE6 : QUOTE4, quote = p->len < limit ? p->len : limit;
	__u32 head = p->v6 ? sizeof(struct error6) : sizeof(struct error4);
	struct __sk_buff *skb = p->ctx;
	struct ethhdr *eth;
	__u8 smac[ETH_ALEN], dmac[ETH_ALEN];

	if (xdp)
		return V_DEFERRED;
	trace(STEP_ANSWER, kind, mtu);
	if (!icmp_allowed())
		return V_ICMP_LIMITED;
	/* The error must quote the header it speaks of whole, and the part
	 * with the ports; and nothing is answered about a later fragment. */
	if (p->later || quote < p->l4 - p->l3 + 8u)
		return why;
	if (bpf_skb_change_tail(skb, p->l3 + quote, 0) ||
	    bpf_skb_adjust_room(skb, head, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_pull_data(skb, p->l3 + head + quote))
		return V_HELPER;
	if (!(p->v6 ? error_head6(p, kind, mtu, quote) : error_head4(p, kind, mtu, quote)))
		return V_HELPER;
	eth = packet_at(p, 0, sizeof(*eth));
	if (!eth)
		return V_HELPER;
	__builtin_memcpy(dmac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(smac, eth->h_dest, ETH_ALEN);
	set_macs(p, dmac, smac);
	*action = redirect(p, ingress_index(p));
	return why;
}
