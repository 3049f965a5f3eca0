/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The maps: the only place where packets and Go meet. Sizes here are
 * placeholders where Go sets max_entries at load.
 *
 * Arrays are memory-mappable where that aligns their entries to cache lines
 * (they then begin on a page) or lets Go read many without a system call for
 * each.
 */
#pragma once

#include "common.h"
#include "types.h"
#include "verdict.h"

#define ARRAY(name, kind, entries, bits)          \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, entries);     \
		__uint(map_flags, bits);          \
		__type(key, __u32);               \
		__type(value, struct kind);       \
	} name SEC(".maps")

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, __u32);
} service_ids SEC(".maps");

ARRAY(ports, port, PORTS, 0);
ARRAY(services, service, 1, BPF_F_MMAPABLE);
ARRAY(sets, set, 1, BPF_F_MMAPABLE);
ARRAY(slots, slot, 1, BPF_F_MMAPABLE);
ARRAY(dests, dest, 1, BPF_F_MMAPABLE);
ARRAY(lives, live, 1, BPF_F_MMAPABLE);
ARRAY(groups, group, 1, BPF_F_MMAPABLE);
ARRAY(memberships, membership, 1, BPF_F_MMAPABLE);
ARRAY(overloads, overload, 1, 0);
ARRAY(nexthops, nexthop, 1, 0);
ARRAY(conns4, bucket4, 1, BPF_F_MMAPABLE);
ARRAY(conns6, bucket6, 1, BPF_F_MMAPABLE);
ARRAY(half4, bucket4, 1, BPF_F_MMAPABLE);
ARRAY(half6, bucket6, 1, BPF_F_MMAPABLE);
ARRAY(wides, wide_bucket, 1, BPF_F_MMAPABLE);
ARRAY(rules, rule, RULES, 0);
ARRAY(traces, trace_log, 1, 0);

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct frag_key);
	__type(value, struct frag);
} frags SEC(".maps");

/* Masqueraded real servers by address, port and protocol: which destination
 * they are. Filled only while something is to be done about their stray packets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, __u32);
} reals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dest_stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, V_COUNT);
	__type(key, enum verdict);
	__type(value, __u64);
} verdicts SEC(".maps");

/* What there is one of, and nearly every packet reads: maps to Go, but a packet
 * knows the address and need not look them up. */
struct settings setting SEC(".data.setting");
struct filter filters SEC(".data.filters");
struct use uses SEC(".data.uses");

/* How many ICMP answers this CPU gave in the present tick-second. */
struct icmp_budget {
	__u32 second;
	__u32 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct icmp_budget);
} icmp_budgets SEC(".maps");
