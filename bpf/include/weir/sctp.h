/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * SCTP's checksum (CRC32c, RFC 9260 appendix A) after a port was changed. It
 * has no pseudo header, so addresses do not matter to it.
 *
 * A CRC is linear: what changes in it depends on what was changed and on how
 * many bytes follow, not on what these are. So the packet's data need not be
 * read: the change of the ports is carried over the rest of the packet as if it
 * were zeros, by a table that Go sets (crc_steps[k]: over 2^k bytes, a matrix of
 * 32 columns). A wrong checksum stays wrong, where IPVS would make a right one.
 */
#pragma once

#include "parse.h"

const volatile __u32 crc_steps[16][32] = {};

/* What `change` in the first four of `len` bytes makes of their CRC. */
__noinline __u32 crc_carry(__u32 change, __u32 len)
{
	for (int k = 0; k < 16; k++) {
		__u32 out = 0, on = -((len >> k) & 1);

		for (int b = 0; b < 32; b++)
			out ^= crc_steps[k][b] & -((change >> b) & 1);
		change = (out & on) | (change & ~on);
	}
	return change;
}

static __always_inline __u32 little(__u32 v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return __builtin_bswap32(v);
#else
	return v;
#endif
}

/* Corrects the checksum after the first four bytes, the ports, were changed by
 * `change`. One of zero is left to the device, and stays so; that of a fragmented
 * packet cannot be corrected, since it is not known how much follows. */
static __always_inline bool fix_sctp(const struct packet *p, __u32 change)
{
	struct sctp *s = packet_at(p, p->l4, sizeof(*s));

	if (!s)
		return p->fragment;
	if (change && s->check)
		s->check ^= little(crc_carry(little(change), p->len - (p->l4 - p->l3)));
	return true;
}
