/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The TCP state table of IPVS (ip_vs_proto_tcp.c, the ordinary one), UDP's one
 * state, and the timer: every packet of either direction sets it to the
 * timeout of the state it leads to.
 */
#pragma once

#include "conn.h"
#include "sctp_state.h"
#include "trace.h"

enum {
	NO = 0, ES, SS, SR, FW, TW, CL, CW, LA, LI, SA,
};

/* [direction][event][state] */
static const __u8 tcp_states[3][4][16] = {
	[DIR_IN] = {
		/*          NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
		[EV_SYN] = {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR},
		[EV_FIN] = {CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW},
		[EV_ACK] = {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
		[EV_RST] = {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR},
	},
	[DIR_OUT] = {
		[EV_SYN] = {SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR},
		[EV_FIN] = {TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW},
		[EV_ACK] = {ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES},
		[EV_RST] = {CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL},
	},
	[DIR_IN_ONLY] = {
		[EV_SYN] = {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR},
		[EV_FIN] = {CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW},
		[EV_ACK] = {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
		[EV_RST] = {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL},
	},
};

/* The switches of net.ipv4.vs.* that are on. */
static __always_inline __u32 sys_on(__u32 which)
{
	return setting.sys & which;
}

/* Where the table differs while secure_tcp defends: nobody is believed to be
 * connected before the real server has heard of it (IPVS.md e.4). */
static __always_inline __u32 next_secure_state(__u32 event, __u32 dir, __u32 state)
{
	if (dir == DIR_IN) {
		if (state == SA && (event == EV_SYN || event == EV_FIN || event == EV_ACK))
			return SA;
		if (state == SR && event == EV_ACK)
			return SR;
		if (state == SA && event == EV_RST)
			return CL;
	}
	if (dir == DIR_OUT && event == EV_SYN && (state == SR || state == SA))
		return SA;
	if (dir == DIR_IN_ONLY && event == EV_SYN && state != ES && state != SS && state != SR)
		return SA;
	return tcp_states[dir][event & 3][state & 15];
}

static __always_inline __u32 next_tcp_state(__u32 event, __u32 dir, __u32 state)
{
	/* IPVS sends a segment without flags to CLOSE. (One comparison for all
	 * events that are not in the table: Linux 6.1's verifier learns nothing
	 * from one with a single number.) */
	if (event > EV_RST)
		return event == EV_BARE ? CL : state;
	if (unlikely(sys_on(SYS_SECURE_TCP)))
		return next_secure_state(event, dir, state);
	return tcp_states[dir][event][state & 15];
}

static __always_inline __u32 state_timeout(__u32 state)
{
	return setting.timeout[state & (TIMEOUT_COUNT - 1)];
}

/* Both for any protocol; of the word's flags CTL_SCTP counts. Global, so that
 * the verifier reads them once. */
__noinline __u32 next_state(__u32 event, __u32 dir, __u32 state, __u32 flags)
{
	if (dir > DIR_IN_ONLY)
		return state;
	return flags & CTL_SCTP ? next_sctp_state(event, dir, state) : next_tcp_state(event, dir, state);
}

__noinline __u32 timeout_of(__u32 state, __u32 flags)
{
	return flags & CTL_SCTP ? sctp_timeout(state) : state_timeout(state);
}

/* The word of a connection an ICMP error speaks of: nothing of it was seen. */
static __always_inline __u64 quoted_word(const struct packet *p, __u32 dest, __u8 forward, __u32 now)
{
	return ctl_pack(now + state_timeout(NO), dest, p->protocol == IPPROTO_UDP ? STATE_UDP : NO,
			forward | (forward ? CTL_NOOUTPUT : 0) | (p->protocol == IPPROTO_SCTP ? CTL_SCTP : 0));
}

/* The word of a connection whose first packet this is. */
static __always_inline __u64 first_word(const struct packet *p, __u32 dest, __u8 forward, __u32 now)
{
	__u32 flags = forward | (forward ? CTL_NOOUTPUT : 0);
	__u32 state = STATE_UDP;

	if (p->protocol == IPPROTO_TCP)
		state = next_state(tcp_event(p), forward ? DIR_IN_ONLY : DIR_IN, NO, flags);
	if (p->protocol == IPPROTO_SCTP) {
		flags |= CTL_SCTP;
		state = next_state(p->chunk, forward ? DIR_IN_ONLY : DIR_IN, S_NO, flags);
	}
	return ctl_pack(now + timeout_of(state, flags), dest, state, flags);
}
