/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Every struct that crosses between the packet engine and Go, and nothing
 * else. Go's twins are generated from here (go generate), so this file is the
 * only definition. Padding is spelled out; addresses are 16 bytes, IPv4 as
 * ::ffff:a.b.c.d; network byte order has a __be type and stays that way.
 *
 * Zero means "none" in every number space: service 0, set 0, destination 0
 * and next hop 0 are never used.
 */
#pragma once

#include <linux/types.h>

/* Changes whenever a struct below, a map or the meaning of a field changes: a
 * weir that adopts a running table compares it first. */
#define WEIR_LAYOUT 18

struct addr {
	__be32 w[4];
};

/* --- services ------------------------------------------------------------ */

/* A firewall-mark service has protocol and port 0 and the mark in the place of
 * the address, as IPVS has it: 0.0.0.7, or 0:7::. */
struct service_key {
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

enum scheduler {
	SCHED_NONE = 0,
	SCHED_RR = 1,
	SCHED_WRR = 2,
	SCHED_LC = 3,
	SCHED_WLC = 4,
	SCHED_SED = 5,
	SCHED_NQ = 6,
	SCHED_FO = 7,
	SCHED_OVF = 8,
	SCHED_SH = 9,
	SCHED_DH = 10,
	SCHED_MH = 11,
	SCHED_LBLC = 12,
	SCHED_LBLCR = 13,
	SCHED_TWOS = 14,
};

#define SERVICE_ONE_PACKET 0x01 /* every UDP packet is scheduled on its own */
#define SERVICE_MARK	   0x02 /* the service of a firewall mark */
#define SERVICE_SIP	   0x04 /* templates are told apart by Call-ID */
#define SERVICE_CACHE	   0x08 /* scheduled by lblc or lblcr */

#define SCHED_FALLBACK 0x1 /* sh, mh: look further if the chosen one is unusable */
#define SCHED_PORT     0x2 /* sh, mh: the client's port counts too */

/* The set a service uses now. Replacing a service's destinations means writing
 * a fresh set and its slots, then flipping `set`: a packet sees the old set or
 * the new one, never a mixture. */
struct service {
	__u32 set;
	__u32 persistence; /* seconds, 0: none */
	struct addr mask;  /* bits of the client that count for persistence */
	struct addr addr;  /* as in its key */
	__be16 port;
	__u8 sched_flags;
	__u8 flags;
};

/* A generation of a service's destinations, in list order. */
struct set {
	__u32 first; /* index of the first slot */
	__u32 count;
	enum scheduler scheduler;
	__u32 flags; /* SCHED_FALLBACK, SCHED_PORT */
	__u32 di; /* wrr: greatest common divisor of the weights */
	__u32 mw; /* wrr: where a round starts, largest weight − (di − 1) */
	/* rr: position last used; wrr: position last used | current weight << 32.
	 * SCHED_HEAD as position: before the first. */
	__u64 cursor;
	__u32 table; /* sh, dh, mh: index of the first slot of the hash table */
	__u32 size;  /* … and its size */
};

#define SCHED_HEAD 0xffffffffu

struct slot {
	__u32 dest;
	__u16 weight;
	__u16 limited; /* not 0: the destination has a threshold, and may be overloaded */
};

/* In a list longer than GROUPED, GROUP neighbours make a group, and who of them
 * lc, wlc, sed or nq would take is remembered until one of their counts changes. A
 * list's first group has the number FIRST_GROUP(its first slot): no two lists have
 * the same, as each is long enough. */
#define GROUP		   32
#define GROUPED		   64
#define FIRST_GROUP(first) ((first) / 16 + 1)

struct group {
	__u64 best; /* version it was found in << 32 | position + 1 in the list; 0: nobody looked */
	__u32 version;
	__u32 pad;
};

#define GROUP_NOBODY 0xffffffffu /* nobody in the group may be taken */

/* A destination's group, 0: none. */
struct membership {
	__u32 group;
	__u32 pad; /* an entry of an array takes eight bytes at least */
};

/* --- destinations --------------------------------------------------------- */

#define DEST_AVAILABLE 0x01 /* stands in its service; else its connections' packets are dropped */
#define DEST_LOCAL     0x02 /* the address is the director's own */
#define DEST_LOOPBACK  0x04 /* … and a loopback address: no masquerading for other hosts */
#define DEST_V6        0x08
#define DEST_WIDE      0x10 /* some of its connections are, or were, in the wide table */

/* What a tunnel puts between the outer IP header and the packet, and whether
 * it is summed; the kernel's numbers. */
#define ENCAP_IPIP     0
#define ENCAP_GUE      1
#define ENCAP_GRE      2
#define ENCAP_MASK     0x0f
#define ENCAP_SUMMED   0xf0 /* not zero: a checksum */

/* One cache line: everything a known flow needs but the next hop. The service's
 * own address and port stand here too, so that a connection need not keep them. */
struct dest {
	struct addr addr;
	struct addr vaddr;
	__be16 port;
	__be16 vport;
	__u8 protocol;
	__u8 forward; /* the kernel's numbers: 0 masq, 2 tunnel, 3 gate */
	__u8 flags;
	__u8 encap; /* of a tunnel: its type, its kind of checksum << 4 */
	__u32 service;
	__u32 nexthop;
	__u32 upper; /* connections at which it becomes overloaded, 0: never */
	__u32 lower; /* connections below which it no longer is, 0: 3/4 of upper */
	__u32 weight;	   /* as in its slot; 0: takes no new connections */
	__u16 last_weight; /* the last that was not 0; mh builds its table by it */
	__be16 tunnel_port;
};

/* Connections now: active << 32 | inactive. One word, so that a change of
 * state is one atomic addition and no reader sees half of it. */
struct live {
	__u64 conns;
	__u64 templates;
};

/* Has reached its upper threshold and not yet fallen below the lower one. Apart
 * from struct live, because Go sets it when thresholds are changed. */
struct overload {
	__u32 on;
	__u32 pad;
};

struct dest_stats {
	__u64 conns;
	__u64 in_packets;
	__u64 in_bytes;
	__u64 out_packets;
	__u64 out_bytes;
};

#define NEXTHOP_RESOLVED 0x01 /* the MAC is known */
#define NEXTHOP_XDP      0x02 /* the interface takes packets sent from XDP */
#define NEXTHOP_V6       0x04 /* `via` is IPv6 */
#define NEXTHOP_FAILED   0x08 /* there is no route, or the neighbour does not answer */

/* Where a frame goes and whence, as its header begins. */
struct macs {
	__u8 dest[6];
	__u8 source[6];
} __attribute__((aligned(4)));

struct nexthop {
	__u32 ifindex; /* 0: there is no route */
	__u32 mtu;
	struct macs macs;
	__u32 flags;
	struct addr via;
	struct addr from; /* the director's address on that way: source of tunnel packets */
	/* What a router said about the way, set by packets; 0: nothing. */
	__u32 learned_mtu;
	__u32 learned_until; /* in ticks */
};

/* --- interfaces ------------------------------------------------------------ */

/* Interfaces by number. XDP leaves packets of higher ones to tc. */
#define PORTS 65536

#define PORT_XDP_SEND 0x01 /* takes packets sent from XDP */
#define PORT_ATTACHED 0x02 /* weir hangs on it */
#define PORT_VETH     0x04

struct port {
	__u8 mac[6];
	__u8 flags;
	__u8 pad;
};

/* --- connections ----------------------------------------------------------- */
/*
 * A connection is 16 bytes for IPv4 and 32 for IPv6; four of them make a
 * bucket of one or two cache lines. conn.h knows the rest.
 *
 * The control word:  expires:32 | dest:20 | state:4 | flags:8
 */
#define CONN_WAYS 4

struct conn4 {
	__u64 key; /* client address | client port << 32 | service port << 48, all as on the wire */
	__u64 ctl;
};

struct bucket4 {
	struct conn4 conn[CONN_WAYS];
};

struct conn6 {
	__u64 addr[2];
	__u64 key; /* client port | service port << 16 */
	__u64 ctl;
};

struct bucket6 {
	struct conn6 conn[CONN_WAYS];
};

/*
 * The wide table holds what a destination and two ports do not tell: the
 * connections of persistent, firewall-mark and every-port services, and the
 * templates themselves, of both families.
 */
struct wide {
	struct addr client;
	struct addr vaddr; /* of a template the mark, where the service is one's */
	__be16 cport;
	__be16 vport;
	__be16 dport;
	__u8 protocol;
	__u8 ftp;      /* of a control connection: what the client asked for last (ftp.h) */
	__u32 parent;  /* the template or connection that controls it: index + 1 */
	__u32 packets; /* requests seen; of a template both are the SIP engine's number of its call */
	__u32 held;    /* connections it controls */
	__u32 timeout; /* of a template, in ticks */
	__u64 ctl;
};

struct wide_bucket {
	struct wide conn[CONN_WAYS];
};

#define CTL_EXPIRES_SHIFT 32
#define CTL_DEST_SHIFT    12
#define CTL_DEST_MASK     0xfffffu
#define CTL_STATE_SHIFT   8
#define CTL_STATE_MASK    0xfu
#define CTL_FORWARD_MASK  0x3u /* forwarding method the connection was made with */
#define CTL_NOOUTPUT      0x4u /* no answer seen, so far or ever */
#define CTL_DISPLACED     0x8u /* stands in neither of its two home buckets */
#define CTL_TEMPLATE      0x10u /* a template, not a connection */
#define CTL_NO_CPORT      0x20u /* the client's port is not known yet */
#define CTL_SCTP	  0x40u /* the state is one of SCTP's */
#define CTL_BUSY_DEST     CTL_DEST_MASK /* being written by some CPU */

/* One unit of time in the table is 2^24 ns, about 16.8 ms: a shift instead of
 * a division, and 32 bits of it are 2.3 years. */
#define TICK_SHIFT 24

/* --- fragments -------------------------------------------------------------- */

struct frag_key {
	struct addr saddr;
	struct addr daddr;
	__be32 id;
	__u8 protocol;
	__u8 pad[3];
};

struct frag {
	struct addr rewrite; /* the address the first fragment was given */
	__u32 dest;
	__u32 expires;
	__u32 how; /* 1: an answer; forwarding method << 8; verdict << 16 */
};

/* --- settings ---------------------------------------------------------------- */

#define TCP_STATES    11
#define TIMEOUT_UDP   15
#define TIMEOUT_COUNT 16

/* Which kinds of services there are, so that the look-ups of the others are
 * not made. */
#define HAVE_MARKS    0x1
#define HAVE_ANY_PORT 0x2
#define HAVE_FTP      0x4
#define HAVE_STRAYS   0x8 /* something is done about servers' packets that belong to nothing */

/* The settings net.ipv4.vs.* has as switches. */
#define SYS_EXPIRE_NODEST     0x001
#define SYS_EXPIRE_QUIESCENT  0x002
#define SYS_SLOPPY_TCP	      0x004
#define SYS_SLOPPY_SCTP	      0x008
#define SYS_SECURE_TCP	      0x010
#define SYS_SCHEDULE_ICMP     0x020
#define SYS_CACHE_BYPASS      0x040
#define SYS_NAT_ICMP_SEND     0x080
#define SYS_DROP_ENTRY	      0x100

struct settings {
	__u32 layout;
	__u32 have; /* HAVE_* */
	__u32 sys;  /* SYS_* */
	__u32 reuse_mode; /* conn_reuse_mode */
	__u32 drop_rate;  /* every so many'th new flow is dropped; 0: none */
	__u32 rules;	  /* of the classifier */
	__u32 unprivileged; /* first port an FTP data connection may have */
	__u32 lblc_expiration;	/* seconds */
	__u32 lblcr_expiration; /* seconds */
	__u32 pad;
	__u64 seed;
	__u32 timeout[TIMEOUT_COUNT]; /* in ticks, by state number; UDP at 15 */
	__u64 since;                  /* unix seconds when the table was made */
};

/* Which addresses are worth a second look: a service's, a destination's, and
 * which of them a look into the wide table. A Bloom filter with one hash, two
 * bits for each place; a wrong "yes" costs a look-up, nothing else. */
#define FILTER_PLACES 65536

struct filter {
	__u64 bits[FILTER_PLACES / 32];
};

/* A rule of the classifier: what packets get which mark. */
struct rule {
	struct addr saddr, smask;
	struct addr daddr, dmask;
	__u32 mark;
	__u32 ifindex; /* 0: any */
	__u16 sport_from, sport_to; /* as numbers of the host */
	__u16 dport_from, dport_to;
	__u8 protocol; /* 0: TCP, UDP and SCTP */
	__u8 pad[3];
	__u32 pad2;
};

#define RULES 1024

/* How the tables are doing. */
struct use {
	__u64 displaced4; /* connections outside their home buckets */
	__u64 displaced6;
	__u64 displaced_wide;
	__u64 throttle; /* new flows seen by drop_packet */
	__u64 no_cport; /* connections whose client port is not known yet */
};

/* What Go asks of the sweeper, and what it answers. */
enum table {
	TABLE_CONNS4 = 0,
	TABLE_CONNS6 = 1,
	TABLE_HALF4 = 2,
	TABLE_HALF6 = 3,
	TABLE_WIDE = 4,
};

struct sweep {
	enum table table;
	__u32 from;
	__u32 count; /* buckets */
	__u32 used;  /* answer: entries alive */
	__u32 gone;  /* answer: entries that were forgotten */
	__u32 pad;
};

/* --- explain ------------------------------------------------------------------ */

enum step {
	STEP_NONE = 0,
	STEP_PARSED = 1,      /* a: protocol, b: source port << 16 | destination port */
	STEP_FILTERED = 2,    /* neither address is a service's or a destination's */
	STEP_CONNECTION = 3,  /* a: destination, b: state | half-open << 8 */
	STEP_NO_CONNECTION = 4,
	STEP_SERVICE = 5,     /* a: service, b: set */
	STEP_NO_SERVICE = 6,
	STEP_CONSIDERED = 7,  /* a: destination, b: weight << 16 | active */
	STEP_CHOSEN = 8,      /* a: destination, b: scheduler */
	STEP_NONE_LEFT = 9,
	STEP_STATE = 10,      /* a: from, b: to */
	STEP_FORWARD = 11,    /* a: destination, b: forwarding method */
	STEP_NEXTHOP = 12,    /* a: interface, b: flags */
	STEP_ANSWER = 13,     /* a: ICMP type, b: code */
	STEP_REPLY = 14,      /* a: destination */
	STEP_REUSED = 15,     /* a: old state */
	STEP_VERDICT = 16,    /* a: verdict */
	STEP_TEMPLATE = 17,   /* a: destination */
};

struct trace {
	enum step step;
	__u32 a;
	__u32 b;
	__u32 pad;
};

#define TRACE_STEPS 64

struct trace_log {
	__u32 used;
	__u32 pad;
	struct trace step[TRACE_STEPS];
};

_Static_assert(sizeof(struct service_key) == 20, "service_key");
_Static_assert(sizeof(struct set) == 40, "set");
_Static_assert(sizeof(struct dest) == 64, "a destination is one cache line");
_Static_assert(sizeof(struct nexthop) == 64, "nexthop");
_Static_assert(sizeof(struct bucket4) == 64, "an IPv4 bucket is one cache line");
_Static_assert(sizeof(struct bucket6) == 128, "an IPv6 bucket is two cache lines");
_Static_assert(sizeof(struct wide) == 64, "a wide entry is one cache line");
_Static_assert(sizeof(struct rule) == 88, "rule");
_Static_assert(sizeof(struct frag_key) == 40, "frag_key");
_Static_assert(sizeof(struct frag) == 28, "frag");
