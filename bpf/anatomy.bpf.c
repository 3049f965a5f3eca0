/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The bench's: the short road of a gate packet over IPv4 through XDP, cut off
 * after each of its steps. What one step takes is the difference between two of
 * these programs. They are made of the engine's own functions, over the maps of
 * a loaded engine. Not part of the packet engine.
 */
#include "weir/common.h"
#include "weir/types.h"
#include "weir/verdict.h"
#include "weir/maps.h"
#include "weir/parse.h"
#include "weir/service.h"
#include "weir/short.h"

enum part {
	PART_HEADERS,
	PART_FILTER,
	PART_OURS,
	PART_SUM,
	PART_CLOCK,
	PART_CONNECTION,
	PART_DESTINATION,
	PART_STATE,
	PART_WAY,
	PART_TIMER,
	PART_STATISTICS,
	PART_VERDICT,
	PART_ALL,
};

/* Keeps the compiler from leaving out what nobody uses yet. */
#define used(...) asm volatile("" ::__VA_ARGS__)

/* The same steps in the same order as in plain_road, short_request and
 * to_server. `last` is a constant. */
static __always_inline int road_until(struct xdp_md *ctx, enum part last)
{
	void *data = ctx_data(ctx), *end = ctx_end(ctx);
	struct plain p = {.ctx = ctx, .data = data};
	struct nexthop *n;
	struct found c;
	__u32 hop, seen;
	__u64 *e;

	if (!plain_ipv4(&p, data, end) || p.state == STATE_CHANGES || p.ttl <= 1)
		return XDP_ABORTED;
	if (last == PART_HEADERS) {
		used("r"(p.saddr.w[3]), "r"(p.daddr.w[3]), "r"(p.sport), "r"(p.dport), "r"(p.len));
		return XDP_TX;
	}
	seen = watch(&p.daddr) | watch(&p.saddr);
	if (!seen)
		return XDP_ABORTED;
	if (last == PART_FILTER) {
		used("r"(p.sport), "r"(p.dport), "r"(p.len));
		return XDP_TX;
	}
	if (!plain_frame(&p, false, data, end) || !plain_for_us(&p) || martian(false, &p.saddr))
		return XDP_ABORTED;
	if (last == PART_OURS) {
		used("r"(p.sport), "r"(p.dport));
		return XDP_TX;
	}
	if (!sums_to_ones(sum_ipv4(data + ETH_HLEN)))
		return XDP_ABORTED;
	if (last == PART_SUM) {
		used("r"(p.sport), "r"(p.dport));
		return XDP_TX;
	}
	p.now = ticks_now();
	if (last == PART_CLOCK) {
		used("r"(p.now), "r"(p.sport), "r"(p.dport));
		return XDP_TX;
	}
	e = plain_find(&p, false, false);
	if (!e)
		return XDP_ABORTED;
	if (last == PART_CONNECTION)
		return XDP_TX;
	if (!found_at(&c, &e[STRIDE(false) - 1]) || c.d->protocol != p.protocol ||
	    !same_end(false, &c.d->vaddr, &p.daddr))
		return XDP_ABORTED;
	if (last == PART_DESTINATION)
		return XDP_TX;
	if (ctl_state(c.word) != p.state)
		return XDP_ABORTED;
	if (last == PART_STATE)
		return XDP_TX;
	hop = c.d->nexthop;
	n = bpf_map_lookup_elem(&nexthops, &hop);
	if (!n || !open_way(&p, false, c.d, n, c.word & CTL_FORWARD_MASK))
		return XDP_ABORTED;
	if (last == PART_WAY)
		return XDP_TX;
	if (!keep(&p, c.ctl, c.word))
		return XDP_ABORTED;
	if (last == PART_TIMER)
		return XDP_TX;
	count_in(c.id, p.len);
	if (last == PART_STATISTICS)
		return XDP_TX;
	count_verdict(V_FORWARDED);
	if (last == PART_VERDICT)
		return XDP_TX;
	return send_plain(&p, false, &n->macs, n->ifindex);
}

#define ROAD(name, last)                    \
	SEC("xdp.frags")                    \
	int name(struct xdp_md *ctx)        \
	{                                   \
		return road_until(ctx, last); \
	}

ROAD(upto_headers, PART_HEADERS)
ROAD(upto_filter, PART_FILTER)
ROAD(upto_ours, PART_OURS)
ROAD(upto_sum, PART_SUM)
ROAD(upto_clock, PART_CLOCK)
ROAD(upto_connection, PART_CONNECTION)
ROAD(upto_destination, PART_DESTINATION)
ROAD(upto_state, PART_STATE)
ROAD(upto_way, PART_WAY)
ROAD(upto_timer, PART_TIMER)
ROAD(upto_statistics, PART_STATISTICS)
ROAD(upto_verdict, PART_VERDICT)
ROAD(upto_all, PART_ALL)

char _license[] SEC("license") = "GPL";
