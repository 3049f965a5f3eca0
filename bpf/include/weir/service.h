/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Finding a service, and the filter in front of every look-up. */
#pragma once

#include "maps.h"
#include "parse.h"
#include "trace.h"

/* One word of the address, multiplied by the golden ratio; Go sets the same bit. */
static __always_inline __u32 filter_bit(const struct addr *a)
{
	return ((a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3]) * 0x9e3779b1u) >> 16;
}

/* Might this be the address of a service or of a destination? */
static __always_inline bool watched(const struct addr *a)
{
	__u32 zero = 0, bit = filter_bit(a);
	struct filter *f = bpf_map_lookup_elem(&filters, &zero);

	return f && (f->bits[(bit >> 6) & (FILTER_BITS / 64 - 1)] >> (bit & 63)) & 1;
}

/* The present set of the service the packet is for; 0: no service. */
static __always_inline __u32 service_set(const struct packet *p)
{
	struct service_key key = {
		.addr = p->daddr,
		.port = p->dport,
		.protocol = p->protocol,
	};
	__u32 *id = bpf_map_lookup_elem(&service_ids, &key);
	struct service *s;

	if (!id)
		return 0;
	s = bpf_map_lookup_elem(&services, id);
	if (!s)
		return 0;
	trace(STEP_SERVICE, *id, s->set);
	return READ_ONCE(s->set);
}
