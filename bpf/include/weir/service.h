/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Finding the service of a packet that opens a connection (IPVS.md a.2): its
 * mark's, the one of its address and port, FTP's for a port FTP data may use,
 * the one of its address and every port. The first that exists is it. */
#pragma once

#include "classify.h"
#include "filter.h"
#include "trace.h"

/* Is there such a kind of service? */
static __always_inline bool have(__u32 kind)
{
	return setting.have & kind;
}

static __always_inline __u32 service_at(const struct service_key *key)
{
	__u32 *id = bpf_map_lookup_elem(&service_ids, key);

	return id ? *id : 0;
}

static __always_inline __u32 service_marked(const struct packet *p)
{
	struct service_key key = {};
	__u32 mark = mark_of(p, setting.rules);

	if (!mark)
		return 0;
	if (p->v6)
		key.addr.w[0] = bpf_htonl(mark);
	else
		map4(&key.addr, bpf_htonl(mark));
	return service_at(&key);
}

/* The number of the service the packet is for; 0: none. */
static __noinline __u32 service_of(const struct packet *p)
{
	struct service_key key = {
		.addr = p->daddr,
		.port = p->dport,
		.protocol = p->protocol,
	};
	__u32 id = 0;

	if (have(HAVE_MARKS))
		id = service_marked(p);
	if (!id)
		id = service_at(&key);
	if (!id && have(HAVE_FTP) && p->protocol == IPPROTO_TCP &&
	    (p->dport == bpf_htons(20) || bpf_ntohs(p->dport) >= setting.unprivileged)) {
		key.port = bpf_htons(21);
		id = service_at(&key);
	}
	if (!id && have(HAVE_ANY_PORT)) {
		key.port = 0;
		id = service_at(&key);
	}
	return id;
}
