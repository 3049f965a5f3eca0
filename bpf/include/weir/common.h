/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What every other header needs: helpers, byte order, and the choices made at load. */
#pragma once

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#ifndef TCX_NEXT
#define TCX_NEXT -1
#endif

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* No stage decided where the packet goes: its verdict says whether it passes. */
#define UNDECIDED (-2)

#define READ_ONCE(x)	 (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/* Set by Go at load; dead branches vanish in the verifier. */
const volatile __u32 conn4_buckets = 1; /* of the connection tables */
const volatile __u32 conn6_buckets = 1;
const volatile __u32 half4_buckets = 1; /* of the half-open tables */
const volatile __u32 half6_buckets = 1;
const volatile __u32 wide_buckets = 1; /* of the wide table */
const volatile __u64 hash_seed = 0;
const volatile bool explaining = false; /* trace steps, change nothing that lasts */
const volatile bool shortcut = true; /* the short road is open (short.h) */

/* Which door this object is for: all is compiled once for XDP and once for tc
 * (generate.go), so that nothing of the other is left in its registers. */
#ifdef DOOR_XDP
enum { xdp = 1 };
#else
enum { xdp = 0 };
#endif

/* Reads a field of the context. Written as the instruction it is, because the
 * compiler likes to merge the two doors' loads into one from a computed
 * address, and the verifier says "dereference of modified ctx ptr". */
#define ctx_field(ctx, type, field)                                                     \
	({                                                                              \
		__u64 v_;                                                               \
		asm volatile("%[v] = *(u32 *)(%[c] + %[o])"                             \
			     : [v] "=r"(v_)                                             \
			     : [c] "r"(ctx), [o] "i"(__builtin_offsetof(type, field))); \
		v_;                                                                     \
	})

/* A length from 1 to `most`, a power of two, which it is known to be, in a form
 * the verifier of Linux 6.1 believes. */
#define believed(len, most)                        \
	({                                         \
		__u64 l_ = (len) - 1;              \
		barrier_var(l_);                   \
		(__u32)((l_ & ((most) - 1)) + 1);  \
	})

/*
 * Hides a number from the verifier. Before Linux 6.7 it reads the callback of
 * bpf_loop only once, takes what the context holds before the first turn for
 * all it ever holds, and cuts the branches that then look dead. What a
 * callback changes and decides by must therefore not be known to begin with.
 * `any` is a number the verifier does not know, from a map or a packet.
 */
static __always_inline __u64 hidden(__u64 value, __u64 any)
{
	__u64 zero = any;

	asm volatile("%0 ^= %1" : "+&r"(zero) : "r"(any));
	return value + zero;
}
