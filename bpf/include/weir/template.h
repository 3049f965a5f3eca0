/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Persistence (IPVS.md f): a template remembers which destination a client was
 * given, and its later connections follow it without asking the scheduler.
 */
#pragma once

#include "sched.h"
#include "sip.h"
#include "state.h"
#include "wide_insert.h"

struct template_key {
	struct addr client; /* masked */
	struct addr vaddr;
	__u64 hash;
	__be16 vport;
	__u8 protocol;
	__u8 pad;
	__u32 now;
	__u64 call; /* of the SIP engine, else 0 */
};

/* Where a key is put together: the stack of a program is 512 bytes, all its
 * calls together, and a program is not interrupted by another on its CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct template_key);
} template_keys SEC(".maps");

/* A template that was made useless: nothing looks for these ports. */
#define PORT_NOWHERE 0xffff

static __always_inline void template_key_make(struct template_key *k, const struct flow *f, const struct service *s)
{
	struct sip_text *t = sip_text();
	__u64 h = hash_seed;

	client_of(&k->client, f);
	for (int i = 0; i < 4; i++)
		k->client.w[i] &= s->mask.w[i];
	k->pad = 0;
	k->now = f->now;
	k->vaddr = s->addr;
	/* A mark joins all protocols and ports … */
	k->protocol = s->flags & SERVICE_MARK ? 0 : f->protocol;
	/* … and FTP's data connections follow its control connection. */
	k->vport = s->port == bpf_htons(21) ? 0 : s->port;
	k->call = s->flags & SERVICE_SIP && t ? t->hash : 0;
	h = mix(h ^ k->call);
	h = mix(h ^ k->client.w[0] ^ (__u64)k->client.w[1] << 32);
	h = mix(h ^ k->client.w[2] ^ (__u64)k->client.w[3] << 32);
	h = mix(h ^ k->vaddr.w[0] ^ k->vaddr.w[1] ^ k->vaddr.w[2] ^ (__u64)k->vaddr.w[3] << 32);
	k->hash = mix(h ^ k->vport ^ (__u64)k->protocol << 16);
}

static __always_inline __u64 template_call(const struct wide *t)
{
	return t->parent | (__u64)t->packets << 32;
}

static __always_inline bool template_in(const struct template_key *k, __u32 nth, __u32 *index)
{
	struct wide_bucket *b = wide_bucket_at(k->hash, nth, index);

	*index *= CONN_WAYS;
	if (!b)
		return false;
	for (int i = 0; i < CONN_WAYS; i++) {
		struct wide *e = &b->conn[i];
		__u64 word = READ_ONCE(e->ctl);

		if (!(word & CTL_TEMPLATE) || ctl_dest(word) == CTL_BUSY_DEST || wide_over(e, word, k->now))
			continue;
		if (e->vport != k->vport || e->protocol != k->protocol || e->dport == PORT_NOWHERE)
			continue;
		if (!same_addr(&e->client, &k->client) || !same_addr(&e->vaddr, &k->vaddr) || template_call(e) != k->call)
			continue;
		*index += i;
		return true;
	}
	return false;
}

/* The place of a template + 1, or 0. */
__noinline __u32 template_find(const struct template_key *k)
{
	__u32 index;

	if (!k)
		return 0;
	if (template_in(k, 0, &index) || template_in(k, 1, &index))
		return index + 1;
	if (any_displaced_wide())
		for (int n = 2; n < 2 + MORE_BUCKETS; n++)
			if (template_in(k, n, &index))
				return index + 1;
	return 0;
}

/* Enters a template: its place + 1, or 0 for no room. */
__noinline __u32 template_insert(const struct template_key *k, __u32 dest, __be16 dport, __u32 timeout)
{
	struct place p;
	struct wide *e;
	struct dest *d;

	if (!k)
		return 0;
	d = bpf_map_lookup_elem(&dests, &dest);
	p.hash = k->hash;
	p.now = k->now;
	if (!d || !wide_claim(&p, true))
		return 0;
	e = wide_entry(p.index);
	if (!e)
		return 0;
	e->client = k->client;
	e->vaddr = k->vaddr;
	e->cport = 0;
	e->vport = k->vport;
	e->dport = dport;
	e->protocol = k->protocol;
	e->parent = k->call;
	e->packets = k->call >> 32;
	e->held = 0;
	e->timeout = timeout;
	template_count(dest, 1);
	__sync_lock_test_and_set(&e->ctl, ctl_pack(k->now + timeout, dest, 0,
						   CTL_TEMPLATE | p.flags | (d->forward & CTL_FORWARD_MASK)));
	return p.index + 1;
}

/* Lets a template hold one connection more and restarts its time; a time that
 * was over, and lengthened because it was held, stays at sixty seconds. */
static __always_inline bool template_hold(struct wide *t, __u32 now)
{
	__u64 old = READ_ONCE(t->ctl), word;

	if (!(old & CTL_TEMPLATE))
		return false;
	if (!ctl_alive(old, now))
		t->timeout = HELD_TICKS;
	word = (old & 0xffffffff) | (__u64)(now + t->timeout) << CTL_EXPIRES_SHIFT;
	if (__sync_val_compare_and_swap(&t->ctl, old, word) != old && !(READ_ONCE(t->ctl) & CTL_TEMPLATE))
		return false;
	__sync_fetch_and_add(&t->held, 1);
	return true;
}

/* Does the template still lead to somebody (ip_vs_check_template)? */
static __always_inline bool template_valid(__u64 word)
{
	__u32 id = ctl_dest(word);
	struct dest *d = bpf_map_lookup_elem(&dests, &id);

	return d && d->flags & DEST_AVAILABLE && (d->weight || !sys_on(SYS_EXPIRE_QUIESCENT));
}

/*
 * The destination a client's template leads to; 0: there is none that leads
 * anywhere, or none to `only`, if that is not 0. `parent` becomes its place + 1,
 * held by the new connection.
 */
__noinline __u32 template_use(const struct flow *f, __u32 service, __u32 only, __u32 *parent)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	__u32 zero = 0, at, id;
	struct template_key *k = bpf_map_lookup_elem(&template_keys, &zero);
	struct wide *t;

	if (!f || !parent || !s || !k)
		return 0;
	template_key_make(k, f, s);
	at = template_find(k);
	t = at ? wide_entry(at - 1) : NULL;
	if (!t)
		return 0;
	id = ctl_dest(t->ctl);
	if (template_valid(t->ctl) && (!only || id == only)) {
		trace(STEP_TEMPLATE, id, 0);
		if (!explaining && !template_hold(t, f->now))
			return 0;
		*parent = at;
		return id;
	}
	if (!explaining) {
		/* It leads nowhere: put out of the way, it lives until its time is over. */
		t->vport = PORT_NOWHERE;
		t->dport = PORT_NOWHERE;
	}
	return 0;
}

/* Makes a template for the client whose template was just looked for, and not
 * found: 1, or 0 for no room. */
__noinline int template_make(const struct flow *f, __u32 service, __u32 dest, __u32 *parent)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	struct dest *d = bpf_map_lookup_elem(&dests, &dest);
	__u32 zero = 0, at;
	struct template_key *k = bpf_map_lookup_elem(&template_keys, &zero);
	struct wide *t;

	if (!f || !parent || !s || !d || !k)
		return 0;
	if (explaining)
		return 1;
	at = template_insert(k, dest, k->vport ? d->port : 0, seconds_ticks(s->persistence));
	t = at ? wide_entry(at - 1) : NULL;
	if (!t || !template_hold(t, f->now))
		return 0;
	*parent = at;
	if (s->flags & SERVICE_SIP)
		sip_remember();
	return 1;
}
