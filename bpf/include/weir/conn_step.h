/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Moving a connection on by one packet, promoting it when it is established,
 * and taking it away. */
#pragma once

#include "conn_insert.h"
#include "state.h"
#include "wide_insert.h"

/* Swaps a connection's word, if it is still `old`; returns what was there. */
__noinline __u64 conn_swap(const struct conn *c, __u64 old, __u64 word)
{
	struct wide *e;
	__u64 *ctl;

	if (!c)
		return ~old;
	if (c->where == IN_WIDE) {
		e = wide_entry(wide_place(c));
		ctl = e ? &e->ctl : NULL;
	} else {
		ctl = c->v6 ? conn_ctl(true, c) : conn_ctl(false, c);
	}
	return ctl ? __sync_val_compare_and_swap(ctl, old, word) : ~old;
}

/* Frees an entry whose word is still the one that was read. */
__noinline int conn_remove(const struct conn *c)
{
	if (!c || explaining || conn_swap(c, c->word, 0) != c->word)
		return 0;
	if (c->where == IN_WIDE)
		wide_forget(c->word, c->parent);
	else
		conn_forget(c->word, c->v6);
	return 1;
}

/* Moves a connection that was just established from the half-open table to the
 * main one. The main entry is published first, so there is no moment at which
 * a packet finds neither. Without room it stays where it is, and is not
 * evicted from there. */
static __always_inline void promote(const struct flow *f, bool v6, const struct conn *c)
{
	__u64 old = c->word, seen;

	if (!insert_main(f, v6, old))
		return;
	seen = conn_swap(c, old, 0);
	if (seen == old)
		return;
	/* Another CPU refreshed or moved it on meanwhile: try once more. */
	if (ctl_dest(seen) == ctl_dest(old) && conn_swap(c, seen, 0) == seen) {
		if (!ctl_active(seen))
			live_add(ctl_dest(old), live_unit(old) - live_unit(seen));
		return;
	}
	/* It was evicted, and counted as gone: the main entry is alive and counts
	 * again. (If it was only refreshed once more, both stand; the half-open
	 * one is not found any more, is counted, and times out.) */
	live_add(ctl_dest(old), live_unit(old));
}

__noinline int conn_promote(const struct flow *f, const struct conn *c)
{
	struct flow g;

	if (!f || !c)
		return 0;
	g = *f;
	g.key = c->key;
	if (g.v6)
		promote(&g, true, c);
	else
		promote(&g, false, c);
	return 0;
}

/*
 * The connection of a packet that is the first from a port that was not known
 * (FTP's passive data connections): it is entered anew, with the port. 1, or 0
 * if there is none.
 */
__noinline int conn_learn(const struct flow *f, struct conn *c)
{
	struct work *o = work(WORK_OTHER);
	struct wide *parent;

	if (!f || !c || !o || likely(!READ_ONCE(uses.no_cport)))
		return 0;
	o->f = *f;
	flow_ports(&o->f, 0, key_vport(f->key, f->v6));
	if (!conn_find(&o->f, &o->c) || o->c.where != IN_WIDE || !(o->c.word & CTL_NO_CPORT))
		return 0;
	*c = o->c;
	if (explaining)
		return 1;
	c->word &= ~(__u64)(CTL_NO_CPORT | CTL_DISPLACED);
	parent = c->parent ? wide_entry(c->parent - 1) : NULL;
	if (parent)
		__sync_fetch_and_add(&parent->held, 1);
	if (!wide_insert(f, c)) {
		release(c->parent);
		return 0;
	}
	conn_remove(&o->c);
	return 1;
}

/* Tells the template of a connection that it led to somebody. */
static __always_inline void assure(__u32 parent)
{
	struct wide *t = parent ? wide_entry(parent - 1) : NULL;
	__u64 word;

	if (!t)
		return;
	word = READ_ONCE(t->ctl);
	if (word & CTL_TEMPLATE && ctl_state(word) != TEMPLATE_ASSURED)
		__sync_val_compare_and_swap(&t->ctl, word, word | TEMPLATE_ASSURED << CTL_STATE_SHIFT);
}

/* What a step means beyond the connection itself. */
static __always_inline void step_on(const struct flow *f, const struct conn *c, __u64 from, __u64 to)
{
	if (c->parent && !ctl_established(from) && ctl_established(to))
		assure(c->parent);
	if (ctl_active(from) != ctl_active(to))
		live_add(ctl_dest(c->word), live_unit(to) - live_unit(from));
	if (c->where == IN_HALF && ctl_established(to) && !ctl_established(from))
		conn_promote(f, c);
}

/* Moves a known connection on by one packet and restarts its timer. The word
 * is written only if something in it changed, which for a busy connection is
 * once in a tick. */
__noinline int conn_step(const struct flow *f, struct conn *c)
{
	if (!f || !c)
		return 0;
	if (c->where == IN_WIDE && !explaining) {
		struct wide *e = wide_entry(wide_place(c));

		if (e && !f->out)
			__sync_fetch_and_add(&e->packets, 1);
		/* UDP has no state to tell it: an answer is proof. To IPVS one of AH
		 * or ESP is not. */
		if (f->out && ctl_state(c->word) == STATE_UDP && f->event != EV_JOINS)
			assure(c->parent);
	}
	for (int i = 0; i < 3; i++) {
		__u64 old = c->word, seen, word;
		__u32 from = ctl_state(old), to;
		__u32 flags = old & 0xff;

		if (f->out)
			flags &= ~CTL_NOOUTPUT;
		to = next_state(f->event, f->out ? DIR_OUT : flags & CTL_NOOUTPUT ? DIR_IN_ONLY : DIR_IN, from, flags);
		word = ctl_pack(f->now + timeout_of(to, flags), ctl_dest(old), to, flags);
		trace(STEP_STATE, from, to);
		if (word == old || explaining)
			return 0;
		seen = conn_swap(c, old, word);
		if (seen == old) {
			c->word = word;
			step_on(f, c, old, word);
			return 0;
		}
		if (ctl_dest(seen) != ctl_dest(old))
			return 0; /* forgotten meanwhile; the packet still goes its way */
		c->word = seen;
	}
	return 0;
}
