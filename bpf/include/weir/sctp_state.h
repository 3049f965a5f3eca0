/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The SCTP state table of IPVS (ip_vs_proto_sctp.c). A packet counts by its
 * first chunk. States have IPVS's numbers; whether a connection is SCTP's is a
 * flag in its word, because TCP's states have other meanings. Only ESTABLISHED
 * is active.
 */
#pragma once

#include "conn.h"

enum direction {
	DIR_IN = 0,      /* a request, answers pass here too */
	DIR_OUT = 1,     /* an answer */
	DIR_IN_ONLY = 2, /* a request, no answer was ever seen */
};

enum {
	S_NO, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL,
};

/* [direction][chunk][state] */
static const __u8 sctp_states[3][CHUNK_COUNT][16] = {
	[DIR_IN] = {
		/*                                NO   I1   IN   CS   CR   CW   CO   CE   ES   SS   SR   SA   RJ   CL */
		[CHUNK_DATA] = {S_ES, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_INIT] = {S_I1, S_IN, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_IN, S_IN},
		[CHUNK_INIT_ACK] = {S_CW, S_CW, S_CW, S_CS, S_CR, S_CO, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_COOKIE_ECHO] = {S_CR, S_IN, S_IN, S_CR, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_COOKIE_ACK] = {S_ES, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_ES, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN] = {S_SR, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_SR, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN_ACK] = {S_CL, S_IN, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_CL, S_SR, S_CL, S_RJ, S_CL},
		[CHUNK_SHUTDOWN_COMPLETE] = {S_CL, S_CL, S_CL, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_CL, S_RJ, S_CL},
		[CHUNK_ERROR] = {S_CL, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CL, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_ABORT] = {S_CL, S_CL, S_CL, S_CL, S_CL, S_RJ, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL},
	},
	[DIR_OUT] = {
		/*                                NO   I1   IN   CS   CR   CW   CO   CE   ES   SS   SR   SA   RJ   CL */
		[CHUNK_DATA] = {S_ES, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_INIT] = {S_CW, S_CW, S_CW, S_CW, S_CW, S_CW, S_CW, S_CW, S_ES, S_CW, S_CW, S_CW, S_CW, S_CW},
		[CHUNK_INIT_ACK] = {S_CS, S_CS, S_CS, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_COOKIE_ECHO] = {S_CE, S_CE, S_CE, S_CE, S_CE, S_CE, S_CE, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_COOKIE_ACK] = {S_ES, S_ES, S_ES, S_ES, S_ES, S_ES, S_ES, S_ES, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN] = {S_SS, S_SS, S_SS, S_SS, S_SS, S_SS, S_SS, S_SS, S_SS, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN_ACK] = {S_SA, S_SA, S_SA, S_SA, S_SA, S_CW, S_CO, S_CE, S_ES, S_SA, S_SA, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN_COMPLETE] = {S_CL, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_ERROR] = {S_CL, S_CL, S_CL, S_CL, S_CL, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_ABORT] = {S_CL, S_RJ, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL},
	},
	[DIR_IN_ONLY] = {
		/*                                NO   I1   IN   CS   CR   CW   CO   CE   ES   SS   SR   SA   RJ   CL */
		[CHUNK_DATA] = {S_ES, S_I1, S_IN, S_CS, S_CR, S_ES, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_INIT] = {S_I1, S_IN, S_IN, S_IN, S_IN, S_IN, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_IN, S_IN},
		[CHUNK_INIT_ACK] = {S_CE, S_CE, S_CE, S_CE, S_CE, S_CE, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_COOKIE_ECHO] = {S_ES, S_ES, S_ES, S_ES, S_ES, S_ES, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_COOKIE_ACK] = {S_ES, S_I1, S_IN, S_ES, S_ES, S_CW, S_ES, S_ES, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN] = {S_SR, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_SR, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_SHUTDOWN_ACK] = {S_CL, S_IN, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_CL, S_CL, S_SR, S_CL, S_RJ, S_CL},
		[CHUNK_SHUTDOWN_COMPLETE] = {S_CL, S_CL, S_CL, S_CL, S_CL, S_CW, S_CO, S_CE, S_ES, S_SS, S_CL, S_CL, S_RJ, S_CL},
		[CHUNK_ERROR] = {S_CL, S_I1, S_IN, S_CS, S_CR, S_CW, S_CO, S_CE, S_ES, S_SS, S_SR, S_SA, S_RJ, S_CL},
		[CHUNK_ABORT] = {S_CL, S_CL, S_CL, S_CL, S_CL, S_RJ, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL, S_CL},
	},
};

#define SECONDS(n) (((n) * 1000000000ull + (1ull << TICK_SHIFT) - 1) >> TICK_SHIFT)

static __always_inline __u32 next_sctp_state(__u32 chunk, __u32 dir, __u32 state)
{
	return chunk < CHUNK_COUNT ? sctp_states[dir][chunk][state & 15] : state;
}

/* These cannot be set. */
static __always_inline __u32 sctp_timeout(__u32 state)
{
	switch (state) {
	case S_NO:
		return SECONDS(2);
	case S_I1:
	case S_RJ:
		return SECONDS(4);
	case S_ES:
		return SECONDS(900);
	}
	return SECONDS(61);
}
