/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Changing a packet: one address and port, the hop count, the Ethernet
 * addresses.
 *
 * In tc a packet's transport checksum may still be left to the device
 * (CHECKSUM_PARTIAL) or the packet may be many segments in one (GSO); the
 * kernel's helper knows both and does what is right. In XDP every checksum is
 * complete and is changed by hand.
 */
#pragma once

#include "csum.h"
#include "maps.h"
#include "sctp.h"

/* Where the transport checksum is, from the start of its header; 0: none. */
static __always_inline __u32 check_offset(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return 16;
	if (protocol == IPPROTO_UDP)
		return 6;
	return 0;
}

/* By hand: a UDP checksum of zero means "none" and stays so, as in tc; one
 * that becomes zero is written as all ones (RFC 768). */
static __always_inline bool fix_transport_xdp(const struct packet *p, __u64 change)
{
	__u16 *check = packet_at(p, p->l4 + check_offset(p->protocol), sizeof(*check));

	if (!check)
		return false;
	if (p->protocol == IPPROTO_UDP && !*check)
		return true;
	*check = csum_apply(*check, change);
	if (p->protocol == IPPROTO_UDP && !*check)
		*check = 0xffff;
	return true;
}

static __always_inline bool fix_transport_tc(struct __sk_buff *skb, __u32 at, __u8 protocol, __u64 addr_change,
					     __u64 port_change)
{
	__u64 zero_is_none = protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (bpf_l4_csum_replace(skb, at, 0, csum_fold(addr_change), BPF_F_PSEUDO_HDR | zero_is_none))
		return false;
	return !port_change || !bpf_l4_csum_replace(skb, at, 0, csum_fold(port_change), zero_is_none);
}

/* Gives the packet a new source (or destination) address and port. AH and ESP
 * only get the address, as in IPVS: ESP does not mind (RFC 4303), AH does. */
static __noinline bool rewrite(struct packet *p, bool source, const struct addr *addr, __be16 port)
{
	const struct addr *old = source ? &p->saddr : &p->daddr;
	__u64 addr_change = csum_change_addr(old, addr, p->v6), port_change = 0;
	__u32 both = 0; /* what changes in the two ports */

	if (p->v6) {
		struct iphdr6 *ip = packet_at(p, p->l3, sizeof(*ip));

		if (!ip)
			return false;
		if (source)
			ip->saddr = *addr;
		else
			ip->daddr = *addr;
	} else {
		struct iphdr4 *ip = packet_at(p, p->l3, sizeof(*ip));

		if (!ip)
			return false;
		if (source)
			ip->saddr = addr->w[3];
		else
			ip->daddr = addr->w[3];
		ip->check = csum_apply(ip->check, addr_change);
	}
	if (p->later || joins(p))
		return true; /* no ports here, and no checksum: the first fragment carries that of all */
	if (port != (source ? p->sport : p->dport)) {
		struct ports *ports = packet_at(p, p->l4, sizeof(*ports));

		if (!ports)
			return false;
		both = *(__u32 *)ports;
		port_change = csum_change16(source ? p->sport : p->dport, port);
		if (source)
			ports->source = port;
		else
			ports->dest = port;
		both ^= *(__u32 *)ports;
	}
	if (p->protocol == IPPROTO_SCTP)
		return fix_sctp(p, both);
	if (xdp)
		return fix_transport_xdp(p, addr_change + port_change);
	return fix_transport_tc(p->ctx, p->l4 + check_offset(p->protocol), p->protocol, addr_change, port_change);
}

/* One hop less. The caller has seen that there is one. */
static __always_inline bool decrement_ttl(struct packet *p)
{
	if (p->v6) {
		struct iphdr6 *ip = packet_at(p, p->l3, sizeof(*ip));

		if (!ip)
			return false;
		ip->hops--;
	} else {
		struct iphdr4 *ip = packet_at(p, p->l3, sizeof(*ip));

		if (!ip)
			return false;
		ip->check = csum_less_hop(ip->check);
		ip->ttl--;
	}
	return true;
}

/* Both link addresses, the destination's first, as in a frame. Three words: the
 * compiler would take bytes, since a frame's header need not be aligned. */
static __always_inline void put_macs(void *eth, const struct macs *macs)
{
	const __u32 *from = (const void *)macs;
	__u32 *to = eth;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

static __always_inline bool set_macs(struct packet *p, const struct macs *macs)
{
	void *eth = packet_at(p, 0, sizeof(struct ethhdr));

	if (!eth)
		return false;
	put_macs(eth, macs);
	return true;
}
