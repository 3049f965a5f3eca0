/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The road of a packet, in order. Three doors lead to it: XDP and tc ingress
 * for what arrives, tc egress for the director's own answers. The stages are
 * in include/weir/, one file each. It is compiled once for each kind of door
 * (xdp in common.h).
 *
 * The program keeps no time of its own and asks Go for nothing: what it needs
 * stands in the maps, and it goes on forwarding when nobody is there.
 */
#include "weir/common.h"
#include "weir/types.h"
#include "weir/verdict.h"
#include "weir/maps.h"
#include "weir/parse.h"
#include "weir/service.h"
#include "weir/request.h"
#include "weir/reply.h"
#include "weir/related.h"
#include "weir/schedule_icmp.h"
#include "weir/stray.h"
#include "weir/short.h"
#include "weir/tunnel_error.h"
#ifndef DOOR_XDP
#include "weir/sweep.h"
#endif

/* Did the IP header arrive undamaged? That of IPv6 has no checksum. */
static __always_inline bool sound(const struct packet *p)
{
	return p->v6 || header_sums(p->ctx, p->l4 - p->l3);
}

/* ICMP errors: rare and long-winded, so tc has them alone. */
static __always_inline int hear(struct __sk_buff *skb, struct packet *p, int *action)
{
	int v;

	if (!for_us(p->ctx))
		return V_NOT_OURS;
	if (!sound(p))
		return V_MALFORMED;
	v = tunnel_error(skb, p);
	p->ctx = skb; /* for the verifier, which takes all of *p for numbers now */
	if (v == V_NOT_OURS)
		v = related(p, false, action);
	if (v != V_NOT_OURS || !sys_on(SYS_SCHEDULE_ICMP))
		return v;
	v = open_quoted(p);
	return v == V_NONE ? related(p, false, action) : v;
}

static __always_inline bool passes(__u32 v)
{
	return v <= V_DEFERRED || v == V_LOCAL || v == V_REPLIED_LOCAL || v == V_ICMP_FORWARDED ||
	       v == V_FRAGMENT_LOST || v == V_BYPASSED;
}

/* A request; of one that is dropped the later parts go the same way. */
static __always_inline int ask(struct packet *p, int *action)
{
	int v = request(p, action);

	if (!xdp && p->fragment && *action == UNDECIDED && !passes(v))
		frag_remember(p, 0, v << FRAG_REFUSED, &p->daddr);
	return v;
}

/* A packet that arrived. `skb` is NULL in XDP, known to the compiler: what
 * takes an sk_buff must not even stand in that program. */
static __always_inline int arrive(struct __sk_buff *skb, struct packet *p, __be16 ethertype, int *action)
{
	int v = parse(p, ethertype);

	if (v)
		return v;
	trace(STEP_PARSED, p->protocol, (__u32)bpf_ntohs(p->sport) << 16 | bpf_ntohs(p->dport));
	if (p->icmp_error)
		return skb ? hear(skb, p, action) : V_NOT_OURS;
	p->to = watch(&p->daddr);
	p->from = watch(&p->saddr);
	if (!(p->to | p->from)) {
		trace(STEP_FILTERED, 0, 0);
		return V_NOT_OURS;
	}
	if (!for_us(p->ctx) || martian(p->v6, &p->saddr))
		return V_NOT_OURS;
	if (!whole(p) || !sound(p))
		return V_MALFORMED;
	if (p->fragment && xdp)
		return V_DEFERRED;
	if (p->later && !joins(p))
		return frag_follow(p, false, action);
	/* Answers first, as IPVS has it: a real server may be a client too. */
	if (p->from) {
		v = reply(p, action);
		if (v == V_NOT_OURS && have(HAVE_STRAYS))
			v = xdp ? V_DEFERRED : stray(p, action);
		if (v != V_NOT_OURS)
			return v;
	}
	return p->to ? ask(p, action) : V_NOT_OURS;
}

/* An answer of the director itself, on its way out. */
static __always_inline int leave(struct packet *p, __be16 ethertype, int *action)
{
	int v = parse(p, ethertype);

	if (v)
		return v;
	if (p->icmp_error)
		return related(p, true, action);
	p->from = watch(&p->saddr);
	if (!p->from || !whole(p))
		return V_NOT_OURS;
	if (p->later && !joins(p))
		return frag_follow(p, true, action);
	return reply_local(p);
}

static __always_inline int settle(const struct packet *p, __u32 v, int action)
{
	bool pass = action == UNDECIDED && passes(v);

	trace(STEP_VERDICT, v, 0);
	/* What XDP passes meets the tc program, and is counted there. */
	if (!(xdp && pass))
		count_verdict(v);
	if (pass)
		return pass_action();
	return action == UNDECIDED ? drop_action() : action;
}

#ifdef DOOR_XDP

SEC("xdp.frags")
int weir_xdp(struct xdp_md *ctx)
{
	__be16 *eth = bytes_at(ctx, 0, sizeof(struct ethhdr)), ethertype;
	int action = UNDECIDED;

	if (!eth)
		return XDP_PASS;
	ethertype = eth[6];
	if (shortcut)
		action = short_road(ctx, ethertype);
	if (action != UNDECIDED)
		return action;

	struct packet p = {.ctx = ctx};
	int v = arrive(NULL, &p, ethertype, &action);

	return settle(&p, v, action);
}

#else

SEC("tc")
int weir_ingress(struct __sk_buff *skb)
{
	int action = UNDECIDED, v;

	if (skb->vlan_present)
		return TCX_NEXT;
	if (shortcut)
		action = short_road(skb, skb->protocol);
	if (action != UNDECIDED)
		return action;

	struct packet p = {.ctx = skb};

	if (!linear(&p))
		return TCX_NEXT;
	v = arrive(skb, &p, skb->protocol, &action);
	if (p.answering)
		v = give_answer(skb, &p, v, &action);
	return settle(&p, v, action);
}

SEC("tc")
int weir_egress(struct __sk_buff *skb)
{
	struct packet p = {.ctx = skb};
	int action = UNDECIDED, v;

	/* What came in on an interface was handled there. */
	if (skb->ingress_ifindex || skb->vlan_present || !linear(&p))
		return TCX_NEXT;
	v = leave(&p, skb->protocol, &action);
	if (v == V_NOT_OURS)
		return TCX_NEXT;
	return settle(&p, v, action);
}

#endif

/*
 * What the kernel is told. Of the two licences in the SPDX lines it is the GPL
 * under which the programs run: bpf_fib_lookup is for such programs only, and
 * the kernel knows no word for "GPL-2.0 OR Apache-2.0".
 */
char _license[] SEC("license") = "GPL";
