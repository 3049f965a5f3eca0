/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The other end of a tunnel: on a real server, takes the wrapping off packets
 * that a director has sent by ipip, GUE or GRE. Not part of the packet engine
 * of a director.
 *
 * Only what is sent to an address of this host that Go has named, and carries a
 * packet to one of its virtual addresses, is unwrapped. Whatever else looks
 * like a tunnel is left to the kernel untouched.
 */
#include "weir/common.h"
#include "decap/strip.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, F_COUNT);
	__type(key, enum fate);
	__type(value, __u64);
} fates SEC(".maps");

static __always_inline void count(enum fate f)
{
	__u64 *n = bpf_map_lookup_elem(&fates, &f);

	if (n)
		(*n)++;
}

static __always_inline int unwrap(struct packet *p, __be16 ethertype)
{
	struct marking m = {};
	struct wrapped w = {};
	__u32 zero = 0;
	int f;

	w.take = bpf_map_lookup_elem(&takes, &zero);
	if (!w.take)
		return F_NONE;
	f = look_outside(p, ethertype, &w);
	if (f == F_UNWRAPPED)
		f = look_inside(p, &w, &m);
	if (f == F_UNWRAPPED && !strip(p, &w, &m))
		f = F_FAILED;
	return f;
}

SEC("tc")
int weir_decap(struct __sk_buff *skb)
{
	struct packet p = {.ctx = skb};
	int f;

	/* A frame for another host, seen by a promiscuous interface, is not ours. */
	if (skb->vlan_present || skb->pkt_type || !linear(&p))
		return TCX_NEXT;
	f = unwrap(&p, skb->protocol);
	if (f == F_NONE)
		return TCX_NEXT;
	count(f);
	return f == F_CONGESTED || f == F_FAILED ? TC_ACT_SHOT : TCX_NEXT;
}

/* Of the licences in the SPDX line the kernel is told the GPL; see weir.bpf.c. */
char _license[] SEC("license") = "GPL";
