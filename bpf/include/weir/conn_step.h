/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Moving a connection on by one packet, promoting it when it is established,
 * and taking it away. */
#pragma once

#include "conn_insert.h"
#include "state.h"

/* Swaps a connection's word, if it is still the one that was read. */
static __always_inline bool conn_swap(bool v6, const struct conn *c, __u64 old, __u64 word, __u64 *seen)
{
	__u64 *ctl = conn_ctl(v6, c);

	if (!ctl)
		return false;
	*seen = __sync_val_compare_and_swap(ctl, old, word);
	return *seen == old;
}

/* Frees an entry whose word is still the one that was read. */
__noinline int conn_remove(const struct flow *f, const struct conn *c)
{
	__u64 seen;

	if (!f || !c || explaining)
		return 0;
	if (!(f->v6 ? conn_swap(true, c, c->word, 0, &seen) : conn_swap(false, c, c->word, 0, &seen)))
		return 0;
	conn_forget(c->word, f->v6);
	return 1;
}

/* Moves a connection that was just established from the half-open table to the
 * main one. The main entry is published first, so there is no moment at which
 * a packet finds neither. Without room it stays where it is, and is not
 * evicted from there. */
static __always_inline void promote(const struct flow *f, bool v6, const struct conn *c)
{
	__u64 old = c->word, seen = 0;

	if (!insert_main(f, v6, old))
		return;
	if (conn_swap(v6, c, old, 0, &seen))
		return;
	/* Another CPU refreshed or moved it on meanwhile: try once more. */
	if (ctl_dest(seen) == ctl_dest(old) && conn_swap(v6, c, seen, 0, &seen)) {
		if (!active_state(ctl_state(seen)))
			live_add(ctl_dest(old), live_unit(STATE_ESTABLISHED) - live_unit(ctl_state(seen)));
		return;
	}
	/* It was evicted, and counted as gone: the main entry is alive and counts
	 * again. (If it was only refreshed once more, both stand; the half-open
	 * one is not found any more, is counted, and times out.) */
	live_add(ctl_dest(old), live_unit(STATE_ESTABLISHED));
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

/* Moves a known connection on by one packet and restarts its timer. The word
 * is written only if something in it changed, which for a busy connection is
 * once in a tick. */
__noinline int conn_step(const struct flow *f, struct conn *c)
{
	if (!f || !c)
		return 0;
	for (int i = 0; i < 3; i++) {
		__u64 old = c->word, seen = 0, word;
		__u32 from = ctl_state(old), to;
		__u32 flags = old & 0xff;

		if (f->out)
			flags &= ~CTL_NOOUTPUT;
		to = next_tcp_state(f->event, f->out ? DIR_OUT : flags & CTL_NOOUTPUT ? DIR_IN_ONLY : DIR_IN, from);
		word = ctl_pack(f->now + state_timeout(to), ctl_dest(old), to, flags);
		trace(STEP_STATE, from, to);
		if (word == old || explaining)
			return 0;
		if (f->v6 ? conn_swap(true, c, old, word, &seen) : conn_swap(false, c, old, word, &seen)) {
			c->word = word;
			if (active_state(from) != active_state(to))
				live_add(ctl_dest(word), live_unit(to) - live_unit(from));
			if (c->half && to == STATE_ESTABLISHED && from != to)
				conn_promote(f, c);
			return 0;
		}
		if (ctl_dest(seen) != ctl_dest(old))
			return 0; /* forgotten meanwhile; the packet still goes its way */
		c->word = seen;
	}
	return 0;
}
