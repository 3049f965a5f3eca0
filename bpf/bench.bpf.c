/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The bench's dispatcher: stands in front of a program that is measured and
 * gives it, each time it is run, an untouched packet of one of many flows. Not
 * part of the packet engine.
 *
 * The kernel's test-run facility runs a program over the same bytes again and
 * again, so what the program under test did to them is undone here: the
 * headers are written anew from a template, and a head that was moved is moved
 * back. Go replaces under_test by the instructions of the program it measures.
 *
 * The floors are such programs, too: what a program costs that looks at the
 * headers and returns.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* Ethernet, IPv6, and TCP up to its checksum: 72 bytes. */
#define WORDS 9

#define FIRST_PORT 1024

/* Where the client's end stands in the packet. */
enum course {
	REQUEST4 = 0,
	REPLY4 = 1,
	REQUEST6 = 2,
	REPLY6 = 3,
};

/* One cache line and a half; nothing else is touched between two packets. */
struct dispatch {
	__u64 template[WORDS];
	__u32 length; /* of the frame */
	__u32 flows;
	enum course course;
	__u32 random;	  /* the generator's state; 0: flows come one after the other … */
	__u32 next;	  /* … and this one is next */
	__u32 pad;
};

volatile struct dispatch bench;

static __always_inline __u32 choose(void)
{
	__u32 x = bench.random;

	if (!x)
		return bench.next++;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	bench.random = x;
	return ((__u64)x * bench.flows) >> 32;
}

/* The template has 0 where `low` goes, and is summed so. */
static __always_inline void sum4(void *data, __be16 low)
{
	__be16 *check = data + 24;
	__u32 sum = (__u16)~*check + low;

	*check = ~((sum & 0xffff) + (sum >> 16));
}

/* A flow is 16 bits of the client's address and, above them, its port. */
static __always_inline void put_flow(void *data, __u32 flow)
{
	__be16 low = bpf_htons(flow), port = bpf_htons(FIRST_PORT + (flow >> 16));

	switch (bench.course) {
	case REQUEST4:
		*(__be16 *)(data + 28) = low;
		*(__be16 *)(data + 34) = port;
		sum4(data, low);
		break;
	case REPLY4:
		*(__be16 *)(data + 32) = low;
		*(__be16 *)(data + 36) = port;
		sum4(data, low);
		break;
	case REQUEST6:
		*(__be16 *)(data + 36) = low;
		*(__be16 *)(data + 54) = port;
		break;
	case REPLY6:
		*(__be16 *)(data + 52) = low;
		*(__be16 *)(data + 56) = port;
		break;
	}
}

static __always_inline int restore(void *data, void *end)
{
	__u64 *to = data;

	if (data + WORDS * sizeof(*to) > end)
		return 0;
#pragma unroll
	for (int i = 0; i < WORDS; i++)
		to[i] = bench.template[i];
	put_flow(data, choose());
	return 1;
}

__attribute__((noinline)) int under_test(void *ctx)
{
	volatile int nothing = 0;

	return ctx ? nothing : 1;
}

SEC("xdp.frags")
int bench_xdp(struct xdp_md *ctx)
{
	__u64 length;
	int action;

	if (!restore((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_ABORTED;
	action = under_test(ctx);
	length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	barrier_var(length); /* else pointers are subtracted in 32 bits */
	if (length != bench.length)
		bpf_xdp_adjust_head(ctx, (int)length - (int)bench.length);
	return action;
}

/* Room that was made in an sk_buff is not taken back, because the kernel
 * remembers that it is wrapped: such programs are run once over each packet. */
SEC("tc")
int bench_tc(struct __sk_buff *skb)
{
	if (!restore((void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_SHOT;
	return under_test(skb);
}

/*
 * The generator, for the test-run facility's mode that sends the frames: where
 * they go is a wire to the director. The kernel gives the same pages again and
 * again, changed as they came back.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} wire SEC(".maps");

/* The frame begins behind as many bytes. A veth copies a packet with less room
 * before it than XDP asks for into a new page, which a tunnel's would have at
 * the sink: that is not the director's time. */
#define ROOM 64

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, ROOM) || !restore((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_ABORTED;
	return bpf_redirect_map(&wire, 0, 0);
}

/* The sink, at the other end: counts and drops. */
volatile __u64 received;

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&received, 1);
	return XDP_DROP;
}

/* A forwarder that knows one way only: the least a packet can cost. */
volatile __u64 far[2]; /* the MAC addresses of frames on the wire */

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	__u64 *data = (void *)(long)ctx->data;

	if ((void *)(data + 2) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	data[0] = far[0];
	*(__u32 *)(data + 1) = far[1];
	return bpf_redirect_map(&wire, 0, 0);
}

/* … and the same through tc. */
volatile __u32 far_link;

SEC("tc")
int forward_tc(struct __sk_buff *skb)
{
	__u64 *data = (void *)(long)skb->data;

	if ((void *)(data + 2) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	data[0] = far[0];
	*(__u32 *)(data + 1) = far[1];
	return bpf_redirect(far_link, 0);
}

/* Reads what a balancer must read, and keeps it from being optimised away. */
static __always_inline __u32 look(void *data, void *end)
{
	struct ethhdr *eth = data;
	__u32 *ports, seen = 0;

	if (data + WORDS * 8 > end)
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		if (ip->version != 4 || ip->ihl != 5 || (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
			return 0;
		ports = (void *)(ip + 1);
		seen = ip->saddr ^ ip->daddr ^ *ports;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if (ip->version != 6 || (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP))
			return 0;
		ports = (void *)(ip + 1);
		seen = ip->saddr.in6_u.u6_addr32[3] ^ ip->daddr.in6_u.u6_addr32[3] ^ *ports;
	}
	barrier_var(seen);
	return seen;
}

SEC("xdp.frags")
int floor_xdp(struct xdp_md *ctx)
{
	return look((void *)(long)ctx->data, (void *)(long)ctx->data_end) ? XDP_TX : XDP_PASS;
}

/* … and makes room for another IPv4 header, as a tunnel does. */
SEC("xdp.frags")
int floor_head_xdp(struct xdp_md *ctx)
{
	__u32 seen = look((void *)(long)ctx->data, (void *)(long)ctx->data_end);

	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_ABORTED;
	return seen ? XDP_TX : XDP_PASS;
}

SEC("tc")
int floor_tc(struct __sk_buff *skb)
{
	return look((void *)(long)skb->data, (void *)(long)skb->data_end) ? TC_ACT_REDIRECT : TC_ACT_OK;
}

SEC("tc")
int floor_head_tc(struct __sk_buff *skb)
{
	__u32 seen = look((void *)(long)skb->data, (void *)(long)skb->data_end);

	if (bpf_skb_adjust_room(skb, 20, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_FIXED_GSO))
		return TC_ACT_SHOT;
	return seen ? TC_ACT_REDIRECT : TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
