/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The short road of connections in the wide table: of persistent, firewall-mark
 * and every-port services, and of FTP but for its control connections. */
#pragma once

static __always_inline bool wide_fits(const struct plain *p, bool v6, bool out, const struct wide *e)
{
	__be16 cport = out ? p->dport : p->sport;

	if (e->protocol != p->protocol || e->cport != cport || !same_addr(&e->client, out ? &p->daddr : &p->saddr))
		return false;
	/* An answer's source is looked at when its destination is known. */
	return out ? e->dport == p->sport : e->vport == p->dport && same_addr(&e->vaddr, &p->daddr);
}

/* The entry in one of its homes. */
static __always_inline struct wide *wide_home(const struct plain *p, bool v6, bool out, __u32 nth)
{
	struct wide_bucket *b;
	__u32 at;

	b = wide_bucket_at(p->hash, nth, &at);
	if (!b)
		return NULL;
	for (int i = 0; i < CONN_WAYS; i++) {
		struct wide *e = &b->conn[i];
		__u64 word = READ_ONCE(e->ctl);

		if (!ctl_dest(word) || !ctl_alive(word, p->now) || word & (CTL_TEMPLATE | CTL_NO_CPORT))
			continue;
		if (wide_fits(p, v6, out, e))
			return e;
	}
	return NULL;
}

static __always_inline struct wide *wide_entry_of(struct plain *p, bool v6, bool out)
{
	const struct addr *client = out ? &p->daddr : &p->saddr;
	struct wide *e;

	plain_hash(p, v6, client, out ? p->dport : p->sport, out ? 0 : p->dport);
	e = wide_home(p, v6, out, 0);
	return e ?: wide_home(p, v6, out, 1);
}

/* What client and server say on FTP's control connection is read (ftp.h). */
static __always_inline bool is_talk(const struct plain *p, const struct wide *e, const struct found *c)
{
	return e->vport == bpf_htons(21) && p->protocol == IPPROTO_TCP && !(c->word & CTL_FORWARD_MASK);
}

/* Not here: it may be in the narrow tables, unless it could be further off in this one. */
static __always_inline int not_wide(void)
{
	return any_displaced_wide() ? UNDECIDED : TRY_NARROW;
}

static __always_inline int wide_request(struct plain *p, bool v6)
{
	struct wide *e = wide_entry_of(p, v6, false);
	struct found c;
	int action;

	if (!e)
		return not_wide();
	if (!found_at(&c, &e->ctl) || ctl_state(c.word) != p->state || is_talk(p, e, &c))
		return UNDECIDED;
	action = to_server(p, v6, &c, e->dport);
	if (action != UNDECIDED)
		__sync_fetch_and_add(&e->packets, 1);
	return action;
}

static __always_inline int wide_reply(struct plain *p, bool v6)
{
	struct wide *e = wide_entry_of(p, v6, true);
	struct found c;
	int action;

	if (!e)
		return not_wide();
	if (!found_at(&c, &e->ctl) || ctl_state(c.word) != p->state || is_talk(p, e, &c))
		return UNDECIDED;
	if (c.word & CTL_FORWARD_MASK || !same_end(v6, &c.d->addr, &p->saddr))
		return UNDECIDED;
	action = to_client(p, v6, &c, &e->vaddr, e->vport);
	if (action != UNDECIDED && p->protocol == IPPROTO_UDP)
		assure(e->parent);
	return action;
}

static __always_inline int wide_road(struct plain *p, bool v6, __u32 to, __u32 from)
{
	/* What may be both, of different tables, is for the long road. */
	if (from)
		return from & WIDE && !(to & WIDE) ? wide_reply(p, v6) : UNDECIDED;
	return to & WIDE ? wide_request(p, v6) : UNDECIDED;
}
