/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The FTP helper (IPVS.md l): with masq, the addresses and ports inside a
 * control connection belong to the real server, and data connections come to
 * or from ports no service is at. What client and server agree on is read here
 * and the data connection entered beforehand.
 *
 * Only an answer to PASV holds an address. It is replaced without changing the
 * packet's length, so that no sequence number has to be kept for anybody: what
 * the new text is longer by is taken from the words before it, which no client
 * may read (RFC 1123 4.1.2.6); what it is shorter by becomes blanks.
 *
 * Only tc does this; XDP leaves what the control connection says to it.
 */
#pragma once

#include "conn_step.h"
#include "csum.h"
#include "ftp_text.h"

/* What a client asked for last, kept with its control connection. */
#define FTP_PASV 1
#define FTP_EPSV 2

/* Is the connection the control connection of a masqueraded FTP session? */
static __always_inline bool ftp_control(const struct packet *p, const struct conn *c)
{
	return c->vport == bpf_htons(21) && p->protocol == IPPROTO_TCP && c->where == IN_WIDE &&
	       (c->word & CTL_FORWARD_MASK) == 0 && ctl_state(c->word) == ES;
}

/* Where the segment's text is, and how long it is; 0: there is none. */
static __always_inline __u32 ftp_where(const struct packet *p, __u32 *at)
{
	struct tcp *t = packet_at(p, p->l4, sizeof(*t));
	__u32 end = p->l3 + p->len;

	if (!t || p->fragment)
		return 0;
	*at = p->l4 + (t->off >> 4) * 4;
	return *at < end ? end - *at : 0;
}

/* Copies the segment's text; returns its length, 0 if it is no line of FTP's. */
static __noinline __u32 ftp_read(const struct packet *p)
{
	__u32 at, len = ftp_where(p, &at);
	struct ftp_text *t = ftp_text();

	if (!t || !len || len > FTP_TEXT)
		return 0;
	__builtin_memset(t->was, 0, sizeof(t->was));
	t->len = len;
	if (bpf_skb_load_bytes(p->ctx, at, t->was, believed(len, FTP_TEXT)))
		return 0;
	return len;
}

/* Enters the data connection two parties agreed on, in state LISTEN, or finds
 * it. Client port 0: it is learned from the first packet. */
__noinline int ftp_expect(__be16 cport, __be16 vport, __be16 dport)
{
	struct work *w = work(WORK_PACKET), *o = work(WORK_OTHER);
	struct wide *e;
	__u64 word;

	if (!w || !o || explaining)
		return 0;
	e = wide_entry(wide_place(&w->c));
	if (!e)
		return 0;
	o->f = w->f;
	o->f.out = false;
	o->f.server = w->c.vaddr;
	flow_ports(&o->f, cport, vport);
	word = ctl_pack(w->f.now + state_timeout(LI), ctl_dest(w->c.word), LI, cport ? 0 : CTL_NO_CPORT);
	if (conn_find(&o->f, &o->c)) {
		if (ctl_state(o->c.word) == LI)
			conn_swap(&o->c, o->c.word, word | (o->c.word & CTL_DISPLACED));
		return 0;
	}
	o->c.v6 = w->f.v6;
	o->c.word = word;
	o->c.vaddr = w->c.vaddr;
	o->c.vport = vport;
	o->c.dport = dport;
	o->c.parent = wide_place(&w->c) + 1;
	__sync_fetch_and_add(&e->held, 1);
	if (!wide_insert(&o->f, &o->c))
		release(o->c.parent);
	else if (!cport)
		no_cport_add(1);
	return 0;
}

static __always_inline __be16 one_less(__be16 port)
{
	return bpf_htons(bpf_ntohs(port) - 1);
}

/* What the client says. The address it names must be its own: nobody has a
 * server connect elsewhere (RFC 2577). `client` is zero for IPv6. */
__noinline int ftp_command(__be32 client)
{
	struct work *w = work(WORK_PACKET);
	struct ftp_text *t = ftp_text();
	struct wide *e;
	__u32 port = 0;

	if (!t || !w)
		return 0;
	if (ftp_word(t) == WORD('P', 'O', 'R', 'T')) {
		if (client && ftp_six(5) && t->addr == bpf_ntohl(client))
			port = t->port;
	} else if (ftp_word(t) == WORD('E', 'P', 'R', 'T')) {
		port = ftp_extended(5, false);
	} else if (ftp_words()) {
		e = wide_entry(wide_place(&w->c));
		if (e && !explaining)
			e->ftp = t->epsv ? FTP_EPSV : client ? FTP_PASV : 0;
	}
	if (port)
		ftp_expect(bpf_htons(port), one_less(w->c.vport), one_less(w->c.dport));
	return 0;
}

/* What the server answers: 1 if its text is to be another. */
__noinline int ftp_answer(__be32 service)
{
	struct work *w = work(WORK_PACKET);
	struct ftp_text *t = ftp_text();
	__u32 port = 0, changed = 0, code;
	struct wide *e;

	if (!t || !w)
		return 0;
	e = wide_entry(wide_place(&w->c));
	if (!e || !e->ftp)
		return 0;
	code = WORD(0, t->was[0], t->was[1], t->was[2]);
	if (e->ftp == FTP_PASV && code == WORD(0, '2', '2', '7') && ftp_six(4)) {
		port = t->port;
		changed = ftp_translate(service);
	} else if (e->ftp == FTP_EPSV && code == WORD(0, '2', '2', '9')) {
		port = ftp_extended(4, true);
	}
	if (port && !explaining) {
		e->ftp = 0;
		ftp_expect(0, bpf_htons(port), bpf_htons(port));
	}
	return changed;
}

/* Writes the changed text back and corrects TCP's checksum. */
static __noinline bool ftp_store(struct packet *p)
{
	__u32 at, len = ftp_where(p, &at);
	struct ftp_text *t = ftp_text();
	__s64 change;

	if (!t || !len || len > FTP_TEXT)
		return false;
	change = bpf_csum_diff((__be32 *)t->was, sizeof(t->was), (__be32 *)t->is, sizeof(t->is), 0);
	if (change < 0 || bpf_skb_store_bytes(p->ctx, at, t->is, believed(len, FTP_TEXT), 0))
		return false;
	return !bpf_l4_csum_replace(p->ctx, p->l4 + 16, 0, csum_fold(change), 0);
}

/* A packet from the client on a control connection. */
static __always_inline void ftp_said(const struct packet *p)
{
	if (ftp_read(p))
		ftp_command(p->v6 ? 0 : p->saddr.w[3]);
}

/* A packet from the server: true, unless it could not be changed. */
static __always_inline bool ftp_answered(struct packet *p, const struct conn *c)
{
	return !ftp_read(p) || !ftp_answer(c->vaddr.w[3]) || ftp_store(p);
}
