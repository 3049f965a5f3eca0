/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Leaving the director. Requests go along a next hop Go has worked out (until
 * it has, tc asks the kernel); answers are routed by the kernel's own table,
 * because the way back to a client is the client's business (snat_reroute).
 *
 * XDP either sends a packet whole, drops it, or leaves it untouched to the tc
 * program behind it: whatever it cannot do at once (no neighbour yet, an
 * interface that takes no XDP frames, a packet for the director itself) is not
 * begun.
 */
#pragma once

#include "rewrite.h"
#include "trace.h"

/* The kernel's answer for "this packet goes on". */
static __always_inline int pass_action(void)
{
	return xdp ? XDP_PASS : TCX_NEXT;
}

static __always_inline int drop_action(void)
{
	return xdp ? XDP_DROP : TC_ACT_SHOT;
}

static __always_inline __u32 ingress_index(void *ctx)
{
	return xdp ? ctx_field(ctx, struct xdp_md, ingress_ifindex) : ctx_field(ctx, struct __sk_buff, ifindex);
}

/* Out by the interface a packet came in by? A veth takes what XDP_TX returns to
 * it, but wakes an other end that has no XDP program only with the next packet. */
static __always_inline bool returns(void *ctx, __u32 ifindex)
{
	struct port *port;

	if (ifindex != ingress_index(ctx))
		return false;
	port = bpf_map_lookup_elem(&ports, &ifindex);
	return !port || !(port->flags & PORT_VETH);
}

static __always_inline int redirect(void *ctx, __u32 ifindex)
{
	if (xdp && returns(ctx, ifindex))
		return XDP_TX;
	return bpf_redirect(ifindex, 0);
}

static __always_inline bool same_mac(const void *a, const void *b)
{
	return *(const __u32 *)a == *(const __u32 *)b && *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

/* Is a frame addressed to the interface it came in by? */
static __always_inline bool for_port(const void *eth, const struct port *port)
{
	return (port->flags & PORT_ATTACHED) && same_mac(eth, port->mac);
}

/* Is the frame addressed to this host? A promiscuous interface shows others'. */
static __always_inline bool for_us(void *ctx)
{
	__u32 in = ingress_index(ctx);
	struct port *port;
	void *eth;

	if (!xdp)
		return ctx_field(ctx, struct __sk_buff, pkt_type) == 0; /* PACKET_HOST */
	eth = bytes_at(ctx, 0, sizeof(struct ethhdr));
	port = bpf_map_lookup_elem(&ports, &in);
	return eth && port && for_port(eth, port);
}

/* Lets the kernel find the neighbour; tc only. */
static __always_inline int redirect_neigh(__u32 ifindex, bool v6, const struct addr *via)
{
	struct bpf_redir_neigh n = {};

	n.nh_family = v6 ? AF_INET6 : AF_INET;
	if (v6)
		__builtin_memcpy(n.ipv6_nh, via->w, sizeof(n.ipv6_nh));
	else
		n.ipv4_nh = via->w[3];
	return bpf_redirect_neigh(ifindex, &n, sizeof(n), 0);
}

/* Could XDP send to this interface? */
static __always_inline bool xdp_sends(__u32 ifindex)
{
	struct port *port = bpf_map_lookup_elem(&ports, &ifindex);

	return port && (port->flags & PORT_XDP_SEND);
}

/* A way to the client, found before anything is changed. */
struct way {
	__u32 ifindex;
	__u16 mtu;
	bool neigh; /* MACs are known; else the kernel finds the neighbour */
	bool v6;    /* family of `via` */
	struct macs macs;
	struct addr via;
};

/* Asks the kernel's routing table for a way. V_NONE: found. */
static __noinline int ask_way(const struct asked *a, const struct addr *from, const struct addr *to, struct way *w)
{
	struct bpf_fib_lookup fib = {};
	long err;

	fib.l4_protocol = a->protocol;
	fib.ifindex = ingress_index(a->ctx);
	fib.tot_len = a->segment;
	if (a->v6) {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, from->w, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, to->w, sizeof(fib.ipv6_dst));
	} else {
		fib.family = AF_INET;
		fib.ipv4_src = from->w[3];
		fib.ipv4_dst = to->w[3];
	}
	err = bpf_fib_lookup(a->ctx, &fib, sizeof(fib), 0);
	if (err == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return V_FORWARDING_OFF;
	if (err == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return V_TOO_BIG;
	if (err != BPF_FIB_LKUP_RET_SUCCESS && err != BPF_FIB_LKUP_RET_NO_NEIGH)
		return V_NO_ROUTE;
	w->ifindex = fib.ifindex;
	w->mtu = fib.tot_len; /* the kernel puts the way's MTU in its place */
	w->neigh = err == BPF_FIB_LKUP_RET_SUCCESS;
	w->v6 = fib.family == AF_INET6;
	__builtin_memcpy(w->macs.dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(w->macs.source, fib.smac, ETH_ALEN);
	if (w->v6)
		__builtin_memcpy(w->via.w, fib.ipv6_dst, sizeof(w->via.w));
	else
		map4(&w->via, fib.ipv4_dst);
	if (xdp && (!w->neigh || !xdp_sends(w->ifindex)))
		return V_DEFERRED;
	return V_NONE;
}

static __always_inline int find_way(const struct packet *p, const struct addr *from, const struct addr *to,
				    struct way *w)
{
	return ask_way(&p->asked, from, to, w);
}

static __always_inline int send_way(struct packet *p, const struct way *w)
{
	if (!xdp && !w->neigh)
		return redirect_neigh(w->ifindex, w->v6, &w->via);
	if (!set_macs(p, &w->macs))
		return drop_action();
	return redirect(p->ctx, w->ifindex);
}

/* Has the kernel route a packet to a destination. */
static __noinline int send_asking(struct packet *p, const struct addr *dest)
{
	struct way w;

	return find_way(p, &p->saddr, dest, &w) ? drop_action() : send_way(p, &w);
}

/* Does the kernel know a way, where Go has not said one yet? */
static __noinline bool reachable(const struct packet *p, const struct addr *dest)
{
	struct way w;

	return !find_way(p, &p->saddr, dest, &w);
}

/* What lacks on the way to a destination that has no next hop of Go's. `told`: Go
 * knows of no route. */
static __noinline int way_lacks(const struct packet *p, const struct addr *dest, bool told)
{
	struct way w;

	if (!find_way(p, &p->saddr, dest, &w))
		return V_NONE;
	return told ? V_UNREACHABLE : V_NO_ROUTE;
}

/* Sends a request towards a destination. Without a next hop of Go's the kernel
 * is asked: a destination is reachable from the moment it is in the table. */
static __always_inline int send_nexthop(struct packet *p, const struct nexthop *n, const struct addr *dest)
{
	if (!xdp && !n->ifindex)
		return send_asking(p, dest);
	if (!xdp && !(n->flags & NEXTHOP_RESOLVED))
		return redirect_neigh(n->ifindex, n->flags & NEXTHOP_V6, &n->via);
	if (!set_macs(p, &n->macs))
		return drop_action();
	return redirect(p->ctx, n->ifindex);
}
