/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The connection table: how a connection is stored and found. Entering one is
 * conn_insert.h, moving it on and taking it away conn_step.h. Only these three,
 * and their twin in Go that lists entries (dataplane/ebpf/conns.go), know how
 * connections are stored.
 *
 * A table is an array of buckets of four. An IPv4 bucket is one cache line, an
 * IPv6 bucket two. The client's address and port and the protocol are hashed,
 * so that requests and answers meet in the same bucket and one entry serves
 * both directions. An entry has two home buckets and stands in the emptier; if
 * both are full it is displaced to one of a few more, which are searched only
 * while displaced entries exist at all. The table has twice as many entries as
 * connections were asked for; then about one in 2,500 is displaced.
 *
 * An entry does not hold the service's address: its destination does. What a
 * key leaves open (two services, one port, one client port) the destination
 * decides.
 *
 * Half-open connections of TCP and SCTP live in a table of their own, where the
 * oldest gives way when a bucket is full: a flood of SYN or INIT evicts
 * half-open connections and nothing else. An entry moves to the main table when
 * it is established.
 *
 * Two CPUs may meet in a bucket. Every change is one compare-and-swap of the
 * entry's control word, so each change of state is seen by exactly one CPU and
 * the active and inactive counts follow exactly. A free or outlived entry is
 * claimed by swapping in a busy word, filled, then published by the final
 * word; a reader either sees the busy word, or a whole entry. Two CPUs that
 * open the same connection at the same instant may make two entries: one is
 * found from then on, the other is never touched again and times out. The
 * first must not be lost to the second, so a search always returns the first
 * in a fixed order.
 */
#pragma once

#include "count.h"
#include "filter.h"

#define STATE_ESTABLISHED 1
#define STATE_UDP	  15

/* SYN_RECV, SYN_SENT, ESTABLISHED, SYNACK count as active (ip_vs_proto_tcp). */
#define ACTIVE_STATES ((1 << 1) | (1 << 2) | (1 << 3) | (1 << 10))

/* Buckets searched for displaced entries beyond the two homes. */
#define MORE_BUCKETS 4

enum tcp_event {
	EV_SYN = 0,
	EV_FIN = 1,
	EV_ACK = 2,
	EV_RST = 3,
	EV_BARE = 4, /* none of the flags */
	EV_NONE = 5, /* not TCP, or no TCP header in this fragment */
	EV_JOINS = 6, /* of a connection of UDP's, but not UDP: AH, ESP */
};

/* RST before SYN before FIN before ACK, the first that is set. */
static __always_inline __u8 tcp_event(const struct packet *p)
{
	if (p->protocol != IPPROTO_TCP || p->later)
		return EV_NONE;
	return p->rst ? EV_RST : p->syn ? EV_SYN : p->fin ? EV_FIN : p->ack ? EV_ACK : EV_BARE;
}

/* What identifies a connection from one packet's point of view. */
struct flow {
	__u64 addr[2]; /* client */
	__u64 key;
	__u64 hash;
	struct addr server; /* the other end: the service's address; of an answer, its source */
	__be16 sport;	    /* of an answer: its source port */
	__u8 protocol;
	bool v6;
	bool out;	/* an answer: the service's port is not known yet */
	bool wide;	/* may be in the wide table */
	__u8 event;	/* what the packet means for its connection: tcp_event, chunk */
	__u32 now;
};

enum where {
	IN_MAIN = 0,
	IN_HALF = 1,
	IN_WIDE = 2,
};

/* A connection that was found: where it stands, and what was read there. The
 * place is kept as numbers, not as a pointer, so that the verifier sees one
 * path behind a search and not one for each place a search may end at. */
struct conn {
	__u64 word;
	__u64 key;	   /* narrow entries: theirs */
	struct addr vaddr; /* the address the client talks to … */
	__be16 vport;	   /* … and its port */
	__be16 dport;	   /* the real server's */
	__u32 bucket;
	__u32 parent; /* wide entries: the template that controls it, index + 1 */
	__u8 way;
	__u8 where;
	bool v6;
	bool once; /* of a one-packet service: it is not remembered */
};

/* What is worked out about a packet. The stack of a program is 512 bytes, all
 * its calls together, so this stands apart; a program is never interrupted by
 * another one on its CPU. */
struct work {
	struct flow f;
	struct conn c;
};

enum work_number {
	WORK_PACKET = 0, /* the packet itself */
	WORK_OTHER = 1,  /* a connection that follows from it */
	WORK_COUNT = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WORK_COUNT);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

static __always_inline struct work *work(__u32 number)
{
	return bpf_map_lookup_elem(&works, &number);
}

static __always_inline __u32 ticks_now(void)
{
	return bpf_ktime_get_coarse_ns() >> TICK_SHIFT;
}

static __always_inline __u32 ctl_dest(__u64 w)
{
	return (w >> CTL_DEST_SHIFT) & CTL_DEST_MASK;
}

static __always_inline __u32 ctl_state(__u64 w)
{
	return (w >> CTL_STATE_SHIFT) & CTL_STATE_MASK;
}

static __always_inline bool ctl_alive(__u64 w, __u32 now)
{
	return (__s32)((__u32)(w >> CTL_EXPIRES_SHIFT) - now) > 0;
}

static __always_inline __u64 ctl_pack(__u32 expires, __u32 dest, __u32 state, __u32 flags)
{
	return (__u64)expires << CTL_EXPIRES_SHIFT | (__u64)dest << CTL_DEST_SHIFT |
	       state << CTL_STATE_SHIFT | flags;
}

#define SCTP_ESTABLISHED 8

/* Of SCTP or not: looked up, so that the verifier has one path less. */
static const __u32 active_states[2] = {ACTIVE_STATES, 1 << SCTP_ESTABLISHED};
static const __u32 established_states[2] = {1 << STATE_ESTABLISHED, 1 << SCTP_ESTABLISHED};

/* Is a connection with this word active? */
static __always_inline bool ctl_active(__u64 w)
{
	return (active_states[!!(w & CTL_SCTP)] >> ctl_state(w)) & 1;
}

static __always_inline bool ctl_established(__u64 w)
{
	return (established_states[!!(w & CTL_SCTP)] >> ctl_state(w)) & 1;
}

/* A connection's weight in a destination's live word. */
static __always_inline __u64 live_unit(__u64 w)
{
	return ctl_active(w) ? 1ull << 32 : 1;
}

/* What schedulers compare of a destination has changed: whoever was the best of
 * its group need not be any more. */
static __always_inline void group_changed(__u32 dest)
{
	struct membership *m = bpf_map_lookup_elem(&memberships, &dest);
	struct group *g;
	__u32 at;

	if (!m || likely(!m->group))
		return;
	at = m->group;
	g = bpf_map_lookup_elem(&groups, &at);
	if (g)
		__sync_fetch_and_add(&g->version, 1);
}

/* Returns the counts after the change. */
static __always_inline __u64 live_add(__u32 dest, __u64 delta)
{
	struct live *l = bpf_map_lookup_elem(&lives, &dest);
	__u64 now;

	if (!l)
		return 0;
	now = __sync_fetch_and_add(&l->conns, delta) + delta;
	group_changed(dest);
	return now;
}

static __always_inline __u32 live_total(__u64 conns)
{
	return (__u32)(conns >> 32) + (__u32)conns;
}

/* The thresholds of IPVS (ip_vs_bind_dest, ip_vs_unbind_dest): overloaded from
 * the connection that makes the total reach the upper one, until one ends that
 * makes it fall below the lower one. */
static __always_inline void mark_overload(__u32 dest, __u64 conns, bool opened)
{
	struct dest *d = bpf_map_lookup_elem(&dests, &dest);
	struct overload *o;
	__u32 lower;

	if (!d || !d->upper)
		return;
	o = bpf_map_lookup_elem(&overloads, &dest);
	if (!o)
		return;
	lower = d->lower ?: d->upper - d->upper / 4;
	if (opened && live_total(conns) >= d->upper)
		WRITE_ONCE(o->on, 1);
	else if (!opened && live_total(conns) < lower)
		WRITE_ONCE(o->on, 0);
	group_changed(dest);
}

static __always_inline void displaced_add(bool v6, __u64 delta)
{
	__sync_fetch_and_add(v6 ? &uses.displaced6 : &uses.displaced4, delta);
}

static __always_inline bool any_displaced(bool v6)
{
	return v6 ? READ_ONCE(uses.displaced6) : READ_ONCE(uses.displaced4);
}

/* Undoes what a narrow entry was counted for; whoever swapped its word out calls it. */
static __always_inline void conn_forget(__u64 word, bool v6)
{
	__u64 left = live_add(ctl_dest(word), -live_unit(word));

	mark_overload(ctl_dest(word), left, false);
	if (word & CTL_DISPLACED)
		displaced_add(v6, -1ull);
}

/* A seeded mix of two multiplications (the finaliser of splitmix64): whoever
 * does not know the seed cannot aim at a bucket. */
static __always_inline __u64 mix(__u64 h)
{
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
	return h ^ (h >> 31);
}

/* Of the client's address and port, and the protocol. The halves of an IPv6
 * address are multiplied side by side, which takes a third of the time of one
 * after the other; each is folded in another place, so that what is changed in
 * one cannot be taken back in the other. */
static __always_inline __u64 flow_hash_of(bool v6, __u8 protocol, const __u64 *client, __u64 key)
{
	__u64 h = hash_seed ^ protocol, a, b;

	if (!v6)
		return mix(h ^ (key & 0xffffffffffffull));
	a = (client[0] ^ h) * 0x9e3779b97f4a7c15ull;
	b = (client[1] ^ (h << 32 | h >> 32)) * 0xbf58476d1ce4e5b9ull;
	return mix((a ^ (a >> 32)) + (b ^ (b >> 29)) + (key & 0xffff));
}

static __always_inline __u64 flow_hash(const struct flow *f)
{
	return flow_hash_of(f->v6, f->protocol, f->addr, f->key);
}

static __always_inline __u64 flow_key(bool v6, const struct addr *client, __be16 cport, __be16 vport)
{
	if (v6)
		return cport | (__u64)vport << 16;
	return client->w[3] | (__u64)cport << 32 | (__u64)vport << 48;
}

static __always_inline void flow_make(struct flow *f, const struct packet *p, const struct addr *client,
				      __be16 cport, __be16 vport)
{
	f->v6 = p->v6;
	f->protocol = joins(p) ? IPPROTO_UDP : p->protocol;
	f->event = joins(p)			      ? EV_JOINS :
		   p->protocol == IPPROTO_SCTP ? (p->later ? CHUNK_NONE : p->chunk) :
						 tcp_event(p);
	f->now = ticks_now();
	f->addr[0] = client->w[0] | (__u64)client->w[1] << 32;
	f->addr[1] = client->w[2] | (__u64)client->w[3] << 32;
	f->key = flow_key(p->v6, client, cport, vport);
	f->hash = flow_hash(f);
}

/* Gives a flow other ports. */
static __always_inline void flow_ports(struct flow *f, __be16 cport, __be16 vport)
{
	if (f->v6)
		f->key = cport | (__u64)vport << 16;
	else
		f->key = (f->key & 0xffffffff) | (__u64)cport << 32 | (__u64)vport << 48;
	f->hash = flow_hash(f);
}

/* The flow of a request, as its packet shows it. */
static __always_inline void flow_request(struct flow *f, const struct packet *p)
{
	f->out = false;
	f->wide = p->to & WIDE;
	f->server = p->daddr;
	f->sport = 0;
	flow_make(f, p, &p->saddr, p->sport, p->dport);
}

/* The flow of an answer. */
static __always_inline void flow_reply(struct flow *f, const struct packet *p)
{
	f->out = true;
	f->wide = p->from & WIDE;
	f->server = p->saddr;
	f->sport = p->sport;
	flow_make(f, p, &p->daddr, p->dport, 0);
}

static __always_inline __u32 bucket_index(__u64 hash, __u32 nth, __u32 buckets)
{
	if (nth == 1)
		hash >>= 32;
	else if (nth > 1)
		hash = mix(hash + nth) >> 32;
	return ((hash & 0xffffffff) * buckets) >> 32;
}

static __always_inline __be16 key_cport(__u64 key, bool v6)
{
	return (__be16)(v6 ? key : key >> 32);
}

static __always_inline __u64 *bucket_number(bool v6, bool half, __u32 i)
{
	if (v6)
		return half ? bpf_map_lookup_elem(&half6, &i) : bpf_map_lookup_elem(&conns6, &i);
	return half ? bpf_map_lookup_elem(&half4, &i) : bpf_map_lookup_elem(&conns4, &i);
}

static __always_inline __u32 buckets_of(bool v6, bool half)
{
	if (v6)
		return half ? half6_buckets : conn6_buckets;
	return half ? half4_buckets : conn4_buckets;
}

static __always_inline __u64 *bucket_at(bool v6, bool half, __u64 hash, __u32 nth)
{
	return bucket_number(v6, half, bucket_index(hash, nth, buckets_of(v6, half)));
}

#define STRIDE(v6) ((v6) ? 4 : 2) /* 64-bit words of an entry; the last is the control word */

/* The control word of a connection that was found. */
static __always_inline __u64 *conn_ctl(bool v6, const struct conn *c)
{
	__u64 *b = bucket_number(v6, c->where == IN_HALF, c->bucket);

	return b ? &b[(c->way & (CONN_WAYS - 1)) * STRIDE(v6) + STRIDE(v6) - 1] : NULL;
}

static __always_inline __be16 key_vport(__u64 key, bool v6)
{
	return (__be16)(v6 ? key >> 16 : key >> 48);
}

/* Does the entry's destination agree with the packet? Then it says the rest. */
static __always_inline bool dest_agrees(const struct flow *f, bool v6, __u64 key, __u64 word, struct conn *c)
{
	__u32 id = ctl_dest(word);
	struct dest *d = bpf_map_lookup_elem(&dests, &id);

	if (!d || d->protocol != f->protocol)
		return false;
	c->vport = key_vport(key, v6);
	c->dport = d->port ?: c->vport;
	c->vaddr = d->vaddr;
	if (!f->out)
		return same_addr(&d->vaddr, &f->server);
	/* An answer comes from the real server if requests are rewritten, else from the service. */
	if ((word & CTL_FORWARD_MASK) == 0)
		return f->sport == c->dport && same_addr(&d->addr, &f->server);
	return f->sport == c->vport && same_addr(&d->vaddr, &f->server);
}

#include "wide.h"

static __always_inline bool find_in(const struct flow *f, bool v6, __u32 nth, struct conn *c)
{
	__u64 mask = !f->out ? ~0ull : v6 ? 0xffffull : 0xffffffffffffull, *b;

	c->bucket = bucket_index(f->hash, nth, buckets_of(v6, c->where == IN_HALF));
	b = bucket_number(v6, c->where == IN_HALF, c->bucket);
	if (!b)
		return false;
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 *e = b + i * STRIDE(v6);
		__u64 word = READ_ONCE(e[STRIDE(v6) - 1]);
		__u64 key = READ_ONCE(e[STRIDE(v6) - 2]);

		if ((key ^ f->key) & mask)
			continue;
		if (v6 && (e[0] != f->addr[0] || e[1] != f->addr[1]))
			continue;
		if (!ctl_dest(word) || ctl_dest(word) == CTL_BUSY_DEST || !ctl_alive(word, f->now))
			continue;
		if (!dest_agrees(f, v6, key, word, c))
			continue;
		c->way = i;
		c->word = word;
		c->key = key;
		return true;
	}
	return false;
}

/* Inlined once for each family, so that entries have a constant size there. */
static __always_inline bool find(const struct flow *f, bool v6, struct conn *c)
{
	c->where = IN_MAIN;
	c->parent = 0;
	if (find_in(f, v6, 0, c) || find_in(f, v6, 1, c))
		return true;
	if (unlikely(any_displaced(v6)))
		for (int n = 2; n < 2 + MORE_BUCKETS; n++)
			if (find_in(f, v6, n, c))
				return true;
	if (f->protocol == IPPROTO_UDP)
		return false;
	c->where = IN_HALF;
	return find_in(f, v6, 0, c) || find_in(f, v6, 1, c);
}

/* Finds the connection of a flow: 1, or 0. A global function, as the others
 * that take no packet: the verifier then reads each once, not at every call. */
__noinline int conn_find(const struct flow *f, struct conn *c)
{
	if (!f || !c)
		return 0;
	c->v6 = f->v6;
	if (unlikely(f->wide) && wide_find(f, c))
		return 1;
	return f->v6 ? find(f, true, c) : find(f, false, c);
}
